// Draws meshes by WebGL or, where there is none, by filling quadrilaterals from back to front.

const DISTANCE = 5; // of the camera, in radii of the grid's ball, as in rotdis/render.py
const OUTLINE = 0.97 / Math.sqrt(DISTANCE * DISTANCE - 0.97 * 0.97);
const KEY = unit([-0.55, 0.75, 0.65]); // lights, as the camera sees them
const FILL = unit([0.85, 0.05, 0.55]);

function unit(v) {
  const length = Math.hypot(...v) || 1;
  return v.map((x) => x / length);
}

function multiply(a, b) {
  return Array.from({ length: 9 }, (_, n) => {
    const [i, j] = [Math.floor(n / 3), n % 3];
    return a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
  });
}

function transpose(m) {
  return [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];
}

// Rows: right, up, towards the camera.
function cameraAxes(azimuth, elevation) {
  const [a, e] = [(azimuth * Math.PI) / 180, (elevation * Math.PI) / 180];
  const [ca, sa, ce, se] = [Math.cos(a), Math.sin(a), Math.cos(e), Math.sin(e)];
  return [-sa, ca, 0, -ca * se, -sa * se, ce, ca * ce, sa * ce, se];
}

const VERTEX = `#version 300 es
in vec3 position; in vec3 normal; in float light;
uniform mat3 turn; uniform mat3 camera; uniform float outline, far;
out vec3 n, world; out float sky;
void main() {
  vec3 seen = camera * (turn * position);
  float depth = far - seen.z;
  n = camera * (turn * normal);
  world = turn * normal;
  sky = light;
  gl_Position = vec4(seen.xy / outline, -seen.z / 2.0 * depth, depth);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec3 n, world; in float sky;
uniform vec3 color, key, fill;
out vec4 result;
void main() {
  vec3 m = normalize(n);
  float lit = max(dot(m, key), 0.0) * (0.45 + 0.55 * smoothstep(0.35, 0.95, sky));
  float side = max(0.3 + 0.7 * dot(m, fill), 0.0);
  float gloss = pow(max(dot(m, normalize(key + vec3(0, 0, 1))), 0.0), 24.0);
  float rim = pow(1.0 - clamp(m.z, 0.0, 1.0), 3.0);
  float strength = sky * (0.25 + 0.10 * normalize(world).z + 0.17 * side) + 0.74 * lit;
  vec3 linear = strength * pow(color, vec3(2.2)) + 0.07 * gloss + 0.05 * rim * sky;
  result = vec4(pow(clamp(linear, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
}`;

// The strength of light as in the shader, for one normal seen by the camera.
function strengthOf(m, up, sky) {
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const lit = Math.max(dot(m, KEY), 0) * (0.45 + 0.55 * Math.min(Math.max((sky - 0.35) / 0.6, 0), 1));
  const side = Math.max(0.3 + 0.7 * dot(m, FILL), 0);
  return sky * (0.25 + 0.1 * up + 0.17 * side) + 0.74 * lit;
}

// Both renderers: `factor`, how finely surfaces are computed, and `draw(canvas, mesh, turn, camera,
// color)`, which paints a mesh onto a 2-D canvas.
function webglRenderer() {
  const surface = document.createElement("canvas");
  const gl = surface.getContext("webgl2", { antialias: true, premultipliedAlpha: true });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  const uniform = (name) => gl.getUniformLocation(program, name);
  const [turnAt, cameraAt, colorAt] = ["turn", "camera", "color"].map(uniform);
  gl.uniform1f(uniform("outline"), OUTLINE);
  gl.uniform1f(uniform("far"), DISTANCE);
  gl.uniform3fv(uniform("key"), KEY);
  gl.uniform3fv(uniform("fill"), FILL);

  function upload(mesh) {
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    for (const [name, data, size] of [
      ["position", mesh.positions, 3],
      ["normal", mesh.normals, 3],
      ["light", mesh.light, 1],
    ]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
      const place = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
    }
    const triangles = new Uint32Array((mesh.quads.length / 4) * 6);
    for (let q = 0, t = 0; q < mesh.quads.length; q += 4) {
      for (const corner of [0, 1, 2, 0, 2, 3]) triangles[t++] = mesh.quads[q + corner];
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.STATIC_DRAW);
    return [array, triangles.length];
  }

  const uploaded = new WeakMap();
  return {
    name: "webgl",
    factor: 2,
    lost: () => gl.isContextLost(),
    draw(canvas, mesh, turn, camera, color) {
      if (surface.width !== canvas.width || surface.height !== canvas.height) {
        [surface.width, surface.height] = [canvas.width, canvas.height];
      }
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      if (!uploaded.has(mesh)) uploaded.set(mesh, upload(mesh));
      const [array, count] = uploaded.get(mesh);
      gl.bindVertexArray(array);
      gl.uniformMatrix3fv(turnAt, true, turn);
      gl.uniformMatrix3fv(cameraAt, true, camera);
      gl.uniform3fv(colorAt, color);
      gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, 0);
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.drawImage(surface, 0, 0);
    },
  };
}

function canvasRenderer() {
  return {
    name: "canvas",
    factor: 1,
    lost: () => false,
    draw(canvas, mesh, turn, camera, color) {
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, canvas.width, canvas.height);
      const m = multiply(camera, turn);
      const count = mesh.light.length;
      const [x, y, depth, shade] = Array.from({ length: 4 }, () => new Float32Array(count));
      const turned = (data, v, row, by) =>
        by[row] * data[v] + by[row + 1] * data[v + 1] + by[row + 2] * data[v + 2];
      for (let v = 0; v < count; v++) {
        depth[v] = DISTANCE - turned(mesh.positions, 3 * v, 6, m);
        const scale = canvas.width / 2 / OUTLINE / depth[v];
        x[v] = canvas.width / 2 + turned(mesh.positions, 3 * v, 0, m) * scale;
        y[v] = canvas.height / 2 - turned(mesh.positions, 3 * v, 3, m) * scale;
        const normal = [0, 3, 6].map((row) => turned(mesh.normals, 3 * v, row, m));
        shade[v] = strengthOf(normal, turned(mesh.normals, 3 * v, 6, turn), mesh.light[v]);
      }
      const quads = mesh.quads;
      const order = [];
      const far = new Float32Array(quads.length / 4);
      for (let q = 0; q < quads.length; q += 4) {
        const [a, b, c] = [quads[q], quads[q + 1], quads[q + 2]];
        // Those that turn their back to the camera are hidden: y points down on a canvas.
        if ((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]) > 0) continue;
        far[q / 4] = depth[a] + depth[b] + depth[c] + depth[quads[q + 3]];
        order.push(q);
      }
      order.sort((p, q) => far[q / 4] - far[p / 4]);
      const linear = color.map((c) => c ** 2.2);
      for (const q of order) {
        const strength = (shade[quads[q]] + shade[quads[q + 1]] + shade[quads[q + 2]] + shade[quads[q + 3]]) / 4;
        const rgb = linear.map((c) => Math.round(255 * Math.min(strength * c + 0.02, 1) ** (1 / 2.2)));
        context.fillStyle = context.strokeStyle = `rgb(${rgb})`;
        context.beginPath();
        for (let k = 0; k < 4; k++) context.lineTo(x[quads[q + k]], y[quads[q + k]]);
        context.closePath();
        context.fill();
        context.stroke(); // closes the gaps between neighbours
      }
    },
  };
}
