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

function sample(volume, side, x, y, z) {
  const at = [x, y, z].map((v) => Math.min(Math.max(v, 0), side - 1.001));
  const [i, j, k] = at.map(Math.floor);
  const [u, v, w] = [at[0] - i, at[1] - j, at[2] - k];
  const read = (a, b) => {
    const p = ((i + a) * side + j + b) * side + k;
    return volume[p] * (1 - w) + volume[p + 1] * w;
  };
  return (
    (1 - u) * ((1 - v) * read(0, 0) + v * read(0, 1)) + u * ((1 - v) * read(1, 0) + v * read(1, 1))
  );
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
  for (let v = 0; v < count; v++) {
    const p = [0, 1, 2].map((d) => vertices[3 * v + d] / factor);
    let normal = [0, 1, 2].map((d) => {
      const [a, b] = [[...p], [...p]];
      a[d] -= 0.5;
      b[d] += 0.5;
      return sample(soft, n, ...a) - sample(soft, n, ...b);
    });
    const length = Math.hypot(...normal) || 1;
    normal = normal.map((x) => x / length);
    let light = 1;
    for (const [sigma, blurred] of skies) {
      const near = sample(blurred, n, ...p.map((x, d) => x + sigma * normal[d]));
      light *= Math.min(Math.max(1.12 - 1.15 * Math.max(near - 0.1, 0), 0.25), 1);
    }
    mesh.light[v] = light;
    for (let d = 0; d < 3; d++) {
      mesh.positions[3 * v + d] = (p[d] - (n - 1) / 2) / (side / 2);
      mesh.normals[3 * v + d] = normal[d];
    }
  }
  return mesh;
}
