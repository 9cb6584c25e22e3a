// The interactive view: chooses the object and the step, and turns the camera.
//
// The section's data attributes say what is shown: data-renderer ("webgl", "canvas" or "none"),
// data-object, data-degrees, data-azimuth, data-elevation, and data-frame, which counts drawings.

const COLORS = [
  [0.42, 0.52, 0.64], // input, canonical form, reconstruction, as in rotdis/render.py
  [0.92, 0.62, 0.22],
  [0.28, 0.6, 0.5],
];
const HOME = [-58, 24];

function startViewer(section, data) {
  const find = (selector) => section.querySelector(selector);
  const canvases = [...section.querySelectorAll("canvas")];
  const [slider, output, play] = [find("input[type=range]"), find("output"), find("[data-play]")];
  let renderer = webglRenderer() ?? canvasRenderer();
  let [azimuth, elevation] = HOME;
  let shown = null; // the object: its scene, values and meshes
  let pending = false;
  let timer = null;
  let request = 0;

  const steps = () => shown.scene.turns.length;
  const step = () => Math.round((Number(slider.value) / 360) * steps()) % steps();

  async function choose(index) {
    const mine = ++request;
    const scene = data.objects[index];
    const volumes = await Promise.all([scene.volume, scene.decoded].map((v) => unpack(v, data.largest)));
    if (mine !== request) return; // another was chosen meanwhile
    shown = { scene, index, volumes, own: null, decoded: [] };
    redraw();
  }

  function meshes() {
    const size = data.side ** 3;
    const build = (values) => buildMesh(values, data.side, data.side > 32 ? 1 : renderer.factor);
    const at = step();
    shown.own ??= build(shown.volumes[0].subarray(0, size));
    shown.decoded[at] ??= build(shown.volumes[1].subarray(at * size, (at + 1) * size));
    return [shown.own, shown.own, shown.decoded[at]];
  }

  function draw() {
    pending = false;
    if (!shown) return;
    if (renderer.lost()) {
      renderer = canvasRenderer();
      Object.assign(shown, { own: null, decoded: [] });
    }
    const { scene } = shown;
    const at = step();
    const turn = scene.turns[at];
    const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    const canonical = multiply(scene.upright, multiply(transpose(scene.rotations[at]), turn));
    const turns = [turn, canonical, identity];
    const camera = cameraAxes(azimuth, elevation);
    const drawn = meshes();
    canvases.forEach((canvas, n) => {
      const size = Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2));
      if (canvas.width !== size) canvas.width = canvas.height = size;
      if (size) renderer.draw(canvas, drawn[n], turns[n], camera, COLORS[n]);
    });
    const degrees = Math.round((360 * at) / steps());
    const followed = at ? `; the inferred rotation is off by ${scene.error[at].toFixed(1)}\u00b0` : "";
    output.textContent =
      `turned by ${degrees}\u00b0${followed}; reconstruction IoU ${scene.iou[at].toFixed(2)}`;
    slider.setAttribute("aria-valuetext", `${degrees} degrees`);
    Object.assign(section.dataset, {
      renderer: renderer.name,
      object: shown.index,
      degrees,
      azimuth: Math.round(azimuth),
      elevation: Math.round(elevation),
      frame: Number(section.dataset.frame || 0) + 1,
    });
  }

  function redraw() {
    if (!pending) requestAnimationFrame(draw);
    pending = true;
  }

  function orbit(right, up) {
    azimuth = ((azimuth - right + 540) % 360) - 180;
    elevation = Math.min(Math.max(elevation + up, -89), 89);
    redraw();
  }

  function animate(on) {
    clearInterval(timer);
    timer = null;
    if (on) {
      timer = setInterval(() => {
        slider.value = (Number(slider.value) + Number(slider.step)) % 360;
        redraw();
      }, 90);
    }
    play.setAttribute("aria-pressed", String(on));
    play.textContent = on ? "Stop" : "Turn";
  }

  for (const canvas of canvases) {
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      let [x, y] = [event.clientX, event.clientY];
      const move = (moved) => {
        orbit((moved.clientX - x) / 2, (moved.clientY - y) / 2);
        [x, y] = [moved.clientX, moved.clientY];
      };
      const end = () => canvas.removeEventListener("pointermove", move);
      canvas.addEventListener("pointermove", move);
      canvas.addEventListener("pointerup", end, { once: true });
      canvas.addEventListener("pointercancel", end, { once: true });
    });
    canvas.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] };
      if (!(event.key in way)) return;
      event.preventDefault();
      orbit(...way[event.key]);
    });
  }
  slider.addEventListener("input", () => {
    animate(false);
    redraw();
  });
  play.addEventListener("click", () => animate(timer === null));
  find("[data-reset]").addEventListener("click", () => {
    [azimuth, elevation] = HOME;
    redraw();
  });
  for (const radio of section.querySelectorAll("input[type=radio]")) {
    radio.addEventListener("change", () => choose(Number(radio.value)));
  }
  new ResizeObserver(redraw).observe(section);
  const checked = find("input[type=radio]:checked");
  return choose(checked ? Number(checked.value) : 0);
}

const viewer = document.getElementById("viewer");
if (viewer) {
  const fail = (reason) => {
    viewer.dataset.renderer = "none";
    const status = viewer.querySelector("[role=status]");
    status.hidden = false;
    status.textContent = `This browser cannot show the objects in 3-D (${reason}). The pictures below need nothing.`;
  };
  if (typeof DecompressionStream === "undefined") fail("it has no DecompressionStream");
  else {
    const data = JSON.parse(document.getElementById("viewer-data").textContent);
    startViewer(viewer, data).catch((error) => fail(error.message));
  }
}
