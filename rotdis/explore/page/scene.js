// The picture: three parts on one floor, the gizmo that turns one of them, and their labels.

import * as three from "./three.js";

const COLORS = { input: [0.42, 0.52, 0.64], canonical: [0.92, 0.62, 0.22], decoded: [0.28, 0.6, 0.5] };
const PLACES = {
  infer: { input: -1, canonical: 0, decoded: 1 },
  decode: { canonical: -0.55, decoded: 0.55 },
};
const SPACING = 2.5; // between parts; an object's enclosing ball has the radius 1
const FLOOR = -1.2;
const RING = 1.12;
const GIZMO_RADIUS = 1.18;
const AZIMUTH = (-62 * Math.PI) / 180; // from the front (-y), right and above, as in the pictures
const ELEVATION = (17 * Math.PI) / 180;
const FIELD_OF_VIEW = 26;

export class Stage {
  /** `turned(quaternion, time)` is called while the gizmo is dragged. */
  constructor(canvas, labels, turned) {
    this.canvas = canvas;
    this.labels = labels;
    this.renderer = new three.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = three.PCFShadowMap;
    this.scene = new three.Scene();
    this.camera = new three.PerspectiveCamera(FIELD_OF_VIEW, 1, 0.5, 80);
    this.camera.up.set(0, 0, 1);
    // The row runs along the picture, so that all parts are seen from the same side and as large.
    this.along = new three.Vector3(-Math.sin(AZIMUTH), Math.cos(AZIMUTH), 0);
    this.addLights();
    this.parts = Object.fromEntries(Object.keys(COLORS).map((part) => [part, this.addPart(part)]));
    this.grip = new three.Group();
    this.grip.add(this.parts.input.mesh);
    this.scene.add(this.grip);
    this.addControls(turned);
    this.mode = "infer";
    this.afterFrame = [];
    this.place();
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.resize();
  }

  addLights() {
    this.scene.add(new three.HemisphereLight(0xffffff, 0xe2d6c4, 2.0));
    const toward = new three.Vector3(Math.cos(AZIMUTH), Math.sin(AZIMUTH), 0);
    const key = new three.DirectionalLight(0xfff6e8, 2.2);
    key.position.set(0, 0, 11).addScaledVector(toward, 3.5).addScaledVector(this.along, -4);
    key.castShadow = true;
    key.shadow.mapSize.set(2048, 1024);
    Object.assign(key.shadow.camera, { left: -6, right: 6, top: 3, bottom: -3, near: 1, far: 30 });
    key.shadow.camera.up.copy(toward);
    key.shadow.radius = 9;
    key.shadow.bias = -0.002;
    key.shadow.normalBias = 0.04;
    const fill = new three.DirectionalLight(0xe6eefc, 1.0);
    fill.position.set(0, 0, 2).addScaledVector(toward, 4).addScaledVector(this.along, 6);
    const floor = new three.Mesh(
      new three.PlaneGeometry(60, 60),
      new three.ShadowMaterial({ opacity: 0.2, color: 0x4a3f2c }),
    );
    floor.position.z = FLOOR;
    floor.receiveShadow = true;
    this.scene.add(key, key.target, fill, floor);
  }

  addPart(part) {
    const color = new three.Color().setRGB(...COLORS[part], three.SRGBColorSpace);
    const material = new three.MeshStandardMaterial({
      color, roughness: 0.62, metalness: 0, vertexColors: true,
    });
    const mesh = new three.Mesh(new three.BufferGeometry(), material);
    mesh.castShadow = mesh.receiveShadow = true;
    mesh.visible = false;
    const ring = new three.Mesh(
      new three.RingGeometry(RING - 0.025, RING, 128),
      new three.MeshBasicMaterial({ color, transparent: true, opacity: 0.75 }),
    );
    this.scene.add(ring);
    if (part !== "input") this.scene.add(mesh);
    return { mesh, ring };
  }

  addControls(turned) {
    this.orbit = new three.OrbitControls(this.camera, this.canvas);
    Object.assign(this.orbit, { enablePan: false, maxPolarAngle: 1.62 });
    this.orbit.addEventListener("change", () => this.draw());
    this.gizmo = new three.TransformControls(this.camera, this.canvas);
    this.gizmo.setMode("rotate");
    this.gizmo.setColors(0xc4625a, 0x6a9f63, 0x5b7fc4, 0xe0a030);
    this.gizmo.showE = false;
    this.gizmo.getHelper().traverse(({ name, material }) => {
      if (material?.visible && material.opacity > 0.5) material.opacity = name === "XYZE" ? 0.3 : 0.7;
    });
    this.gizmo.addEventListener("axis-changed", ({ value }) => {
      this.canvas.style.cursor = value ? "grab" : "";
    });
    this.gizmo.attach(this.grip);
    this.scene.add(this.gizmo.getHelper());
    this.gizmo.addEventListener("change", () => this.draw());
    this.gizmo.addEventListener("dragging-changed", (event) => { this.orbit.enabled = !event.value; });
    // The time at which the mouse moved, not that at which the page got round to it.
    let time = 0;
    window.addEventListener("pointermove", (event) => { time = event.timeStamp; }, true);
    this.gizmo.addEventListener("objectChange", () => turned(this.grip.quaternion.toArray(), time));
  }

  /** Shows the parts of a mode, each in its place. */
  setMode(mode) {
    if (mode === this.mode) return;
    this.mode = mode;
    this.place();
    this.draw();
  }

  place() {
    for (const [part, { mesh, ring }] of Object.entries(this.parts)) {
      const place = PLACES[this.mode][part];
      ring.visible = place !== undefined;
      this.labels[part].hidden = !ring.visible;
      if (!ring.visible) continue;
      ring.position.copy(this.along).multiplyScalar(place * SPACING).setZ(FLOOR + 0.003);
      if (part !== "input") mesh.position.copy(ring.position).setZ(0);
    }
    const held = this.parts[this.mode === "infer" ? "input" : "decoded"];
    this.grip.position.copy(held.ring.position).setZ(0);
    this.grip.visible = this.mode === "infer";
  }

  /** Puts a surface in the place of a part's former one. */
  setSurface(part, vertices, faces, normals, light) {
    const geometry = new three.BufferGeometry();
    const shade = new Float32Array(3 * light.length);
    light.forEach((value, index) => shade.fill(0.35 + (0.65 * value) / 255, 3 * index, 3 * index + 3));
    geometry.setAttribute("position", new three.BufferAttribute(vertices, 3));
    geometry.setAttribute("normal", new three.BufferAttribute(normals, 3));
    geometry.setAttribute("color", new three.BufferAttribute(shade, 3));
    geometry.setIndex(new three.BufferAttribute(faces, 1));
    const mesh = this.parts[part].mesh;
    mesh.geometry.dispose();
    mesh.geometry = geometry;
    mesh.visible = faces.length > 0;
  }

  /** Turns what the gizmo holds. */
  setRotation(quaternion) {
    this.grip.quaternion.fromArray(quaternion);
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    const half = Math.tan((FIELD_OF_VIEW * Math.PI) / 360);
    const distance = Math.max((SPACING + 1.3) / (half * this.camera.aspect) + 1, 2.3 / half);
    const level = Math.cos(ELEVATION) * distance;
    this.orbit.target.set(0, 0, -0.12);
    this.camera.position.set(
      Math.cos(AZIMUTH) * level, Math.sin(AZIMUTH) * level, Math.sin(ELEVATION) * distance);
    this.orbit.minDistance = distance / 4;
    this.orbit.maxDistance = 2 * distance;
    this.camera.updateProjectionMatrix();
    this.orbit.update();
    this.draw();
  }

  /** Draws before the next frame; `done`, where given, is called when that was drawn. */
  draw(done) {
    if (done) this.afterFrame.push(done);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      // The gizmo has a fixed size on the screen by default; here it goes around the object.
      const away = this.camera.position.distanceTo(this.grip.position);
      const factor = away * 1.9 * Math.tan((FIELD_OF_VIEW * Math.PI) / 360);
      this.gizmo.size = (GIZMO_RADIUS * 8) / factor;
      this.renderer.render(this.scene, this.camera);
      this.moveLabels();
      for (const call of this.afterFrame.splice(0)) call();
    });
  }

  moveLabels() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const near = this.camera.position.clone().setZ(0).normalize().multiplyScalar(RING);
    for (const [part, { ring }] of Object.entries(this.parts)) {
      if (!ring.visible) continue;
      const at = ring.position.clone().add(near).project(this.camera);
      const [x, y] = [(at.x * 0.5 + 0.5) * width, (0.5 - at.y * 0.5) * height + 14];
      this.labels[part].style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
      this.labels[part].style.visibility = "visible";
    }
  }
}
