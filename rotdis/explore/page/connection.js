// The WebSocket to the server: what each side says is told in protocol.py.

const TYPES = { float32: Float32Array, uint32: Uint32Array, uint8: Uint8Array };

export class Connection {
  /** `received(message)` gets each message with its arrays; `closed(code)` is called at the end. */
  constructor(received, closed) {
    this.socket = new WebSocket(`ws://${location.host}/socket`);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("message", (event) => received(unpack(event.data)));
    this.socket.addEventListener("close", (event) => closed(event.code));
  }

  send(kind, fields = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ kind, ...fields }));
  }

  async sendFile(file) {
    const name = new TextEncoder().encode(file.name).slice(0, 1024);
    const length = new Uint8Array(new Uint32Array([name.length]).buffer);
    const content = await new Blob([length, name, file]).arrayBuffer();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(content);
  }
}

function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const message = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  for (const [name, { type, shape, offset }] of Object.entries(message.arrays)) {
    const count = shape.reduce((product, side) => product * side, 1);
    message.arrays[name] = new TYPES[type](buffer, 4 + length + offset, count);
  }
  return message;
}
