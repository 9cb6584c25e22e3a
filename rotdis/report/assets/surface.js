// From a volume to a surface with normals and shade: the same steps as in rotdis/render.py.

const MARGIN = 2; // empty voxels around a volume, so that its surface is closed
const LEVEL = 0.4;

// Base64 of zlib of four bits a voxel -> Float32Array.
async function unpack(text, largest) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer());
  const values = new Float32Array(2 * packed.length);
  for (let i = 0; i < packed.length; i++) {
    values[2 * i] = ((packed[i] >> 4) * largest) / 15;
    values[2 * i + 1] = ((packed[i] & 15) * largest) / 15;
  }
  return values;
}

// Applies weights(i) -> [first index, weights] along each axis of a cube in turn.
function separable(volume, side, size, weights) {
  const taps = Array.from({ length: size }, (_, i) => weights(i));
  let shape = [side, side, side];
  for (let axis = 0; axis < 3; axis++) {
    const stride = axis === 0 ? shape[1] * shape[2] : axis === 1 ? shape[2] : 1;
    const outer = axis === 0 ? 1 : axis === 1 ? shape[0] : shape[0] * shape[1];
    const result = new Float32Array(outer * size * stride);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < size; i++) {
        const [first, w] = taps[i];
        const to = (o * size + i) * stride;
        for (let k = 0; k < w.length; k++) {
          const from = (o * side + Math.min(Math.max(first + k, 0), side - 1)) * stride;
          for (let s = 0; s < stride; s++) result[to + s] += w[k] * volume[from + s];
        }
      }
    }
    shape = shape.with ? shape.with(axis, size) : shape.map((n, a) => (a === axis ? size : n));
    volume = result;
  }
  return volume;
}

function refine(volume, side, factor) {
  return separable(volume, side, (side - 1) * factor + 1, (i) => {
    const first = Math.floor(i / factor) - 1;
    const weights = [0, 1, 2, 3].map((k) => {
      const d = Math.abs(i / factor - first - k);
      return d < 1 ? 2 / 3 - d * d + (d * d * d) / 2 : Math.max(2 - d, 0) ** 3 / 6;
    });
    return [first, weights];
  });
}

function blur(volume, side, sigma) {
  const radius = Math.ceil(2.5 * sigma);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, k) =>
    Math.exp(-((k - radius) ** 2) / (2 * sigma * sigma)),
  );
  const total = weights.reduce((a, b) => a + b);
  const normed = weights.map((w) => w / total);
  return separable(volume, side, side, (i) => [i - radius, normed]);
}

// Trilinear; it is called for every vertex, so it makes no arrays.
function sample(volume, side, x, y, z) {
  const top = side - 1.001;
  x = Math.min(Math.max(x, 0), top);
  y = Math.min(Math.max(y, 0), top);
  z = Math.min(Math.max(z, 0), top);
  const [i, j, k] = [x | 0, y | 0, z | 0];
  const [u, v, w] = [x - i, y - j, z - k];
  const p = (i * side + j) * side + k;
  const q = p + side * side;
  const a = volume[p] + w * (volume[p + 1] - volume[p]);
  const b = volume[p + side] + w * (volume[p + side + 1] - volume[p + side]);
  const c = volume[q] + w * (volume[q + 1] - volume[q]);
  const d = volume[q + side] + w * (volume[q + side + 1] - volume[q + side]);
  const near = a + v * (b - a);
  return near + u * (c + v * (d - c) - near);
}

// Surface nets: a vertex in every cell that the surface crosses, at the mean of where it crosses
// the cell's edges, and a quadrilateral for every edge of the grid that it crosses.
function surfaceNets(field, n) {
  const index = new Int32Array(n * n * n).fill(-1);
  const vertices = [];
  const quads = [];
  const strides = [n * n, n, 1];
  const corners = Array.from({ length: 8 }, (_, c) => [c >> 2, (c >> 1) & 1, c & 1]);
  const offsets = corners.map((c) => c[0] * strides[0] + c[1] * strides[1] + c[2]);
  const edges = [];
  for (let a = 0; a < 8; a++) for (const bit of [1, 2, 4]) if (!(a & bit)) edges.push([a, a | bit]);
  const value = new Float32Array(8);
  for (let i = 0; i < n - 1; i++) {
    for (let j = 0; j < n - 1; j++) {
      for (let k = 0; k < n - 1; k++) {
        const cell = (i * n + j) * n + k;
        let inside = 0;
        for (let c = 0; c < 8; c++) {
          value[c] = field[cell + offsets[c]] - LEVEL;
          if (value[c] > 0) inside++;
        }
        if (inside === 0 || inside === 8) continue;
        let count = 0;
        const sum = [0, 0, 0];
        for (const [a, b] of edges) {
          if (value[a] > 0 === value[b] > 0) continue;
          const t = value[a] / (value[a] - value[b]);
          for (let d = 0; d < 3; d++) sum[d] += corners[a][d] + t * (corners[b][d] - corners[a][d]);
          count++;
        }
        index[cell] = vertices.length / 3;
        vertices.push(i + sum[0] / count, j + sum[1] / count, k + sum[2] / count);
        // Edges that start at this cell's first corner; the cells before it are done by now.
        const at = [i, j, k];
        for (let d = 0; d < 3; d++) {
          const [e, f] = [(d + 1) % 3, (d + 2) % 3];
          const one = value[0] > 0;
          if (one === value[[4, 2, 1][d]] > 0 || !at[e] || !at[f]) continue;
          const [p, q] = [strides[e], strides[f]];
          const around = [cell, cell - p, cell - p - q, cell - q].map((c) => index[c]);
          quads.push(...(one ? around : around.reverse()));
        }
      }
    }
  }
  return [vertices, quads];
}

// Returns positions in half sides of the grid, normals, the share of the sky's light, and quads.
function buildMesh(values, side, factor) {
  const n = side + 2 * MARGIN;
  const volume = new Float32Array(n * n * n);
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) {
      const from = (i * side + j) * side;
      const to = ((i + MARGIN) * n + j + MARGIN) * n + MARGIN;
      volume.set(values.subarray(from, from + side), to);
    }
  }
  const [vertices, quads] = surfaceNets(refine(volume, n, factor), (n - 1) * factor + 1);
  const soft = blur(volume, n, 0.8);
  const skies = [0.04, 0.09].map((share) => [share * n, blur(volume, n, share * n)]);
  const count = vertices.length / 3;
  const mesh = {
    positions: new Float32Array(3 * count),
    normals: new Float32Array(3 * count),
    light: new Float32Array(count),
    quads: Uint32Array.from(quads),
  };
  const half = (n - 1) / 2;
  for (let v = 0; v < 3 * count; v += 3) {
    const [x, y, z] = [vertices[v] / factor, vertices[v + 1] / factor, vertices[v + 2] / factor];
    let a = sample(soft, n, x - 0.5, y, z) - sample(soft, n, x + 0.5, y, z);
    let b = sample(soft, n, x, y - 0.5, z) - sample(soft, n, x, y + 0.5, z);
    let c = sample(soft, n, x, y, z - 0.5) - sample(soft, n, x, y, z + 0.5);
    const length = Math.sqrt(a * a + b * b + c * c) || 1;
    [a, b, c] = [a / length, b / length, c / length];
    let light = 1;
    for (const [sigma, blurred] of skies) {
      const near = sample(blurred, n, x + sigma * a, y + sigma * b, z + sigma * c);
      light *= Math.min(Math.max(1.12 - 1.15 * Math.max(near - 0.1, 0), 0.25), 1);
    }
    mesh.light[v / 3] = light;
    mesh.normals.set([a, b, c], v);
    mesh.positions.set([(x - half) / (side / 2), (y - half) / (side / 2), (z - half) / (side / 2)], v);
  }
  return mesh;
}
