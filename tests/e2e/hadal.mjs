// Starts the real binary and talks to it. HADAL names the binary; the default is the release build.
// Tests mean the CPU, also on a machine with a GPU: `auto` finds none.
import { spawn } from 'node:child_process';
import http from 'node:http';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.resolve(here, '../..');
process.env.CUDA_VISIBLE_DEVICES = '';
export const binary = path.resolve(here, process.env.HADAL ?? '../../build/release/hadal');
export const model = 'hadal-demo';

// Runs a command to its end: {code, stdout, stderr}.
export function run(args, { input = '', env = {} } = {}) {
  return new Promise((resolve) => {
    const child = spawn(binary, args, { env: { ...process.env, ...env } });
    let stdout = '', stderr = '';
    child.stdout.on('data', (d) => (stdout += d));
    child.stderr.on('data', (d) => (stderr += d));
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

export class Server {
  static async start(...args) {
    const server = new Server();
    server.stderr = '';
    server.child = spawn(binary, ['serve', '--port', '0', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    server.exited = new Promise((resolve) =>
      server.child.on('close', (code, signal) => resolve({ code, signal })));
    let stdout = '';
    server.stdout = () => stdout;  // what it said so far
    server.child.stderr.on('data', (d) => (server.stderr += d));
    server.port = await new Promise((resolve, reject) => {
      server.child.stdout.on('data', (d) => {
        stdout += d;
        const m = /(?:listening on|正在监听) https?:\/\/[^ ]*:(\d+)/.exec(stdout);
        if (m) resolve(Number(m[1]));
      });
      server.exited.then((e) => reject(new Error(`serve ended with ${JSON.stringify(e)}: ${server.stderr}`)));
    });
    server.url = `http://127.0.0.1:${server.port}`;
    return server;
  }
  async stop() {
    this.child.kill('SIGTERM');
    return this.exited;
  }
  get alive() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  // One JSON request; body may be an object or raw bytes.
  request(method, target, body, headers = {}) {
    return new Promise((resolve, reject) => {
      const bytes = body === undefined ? undefined
        : Buffer.isBuffer(body) || typeof body === 'string' ? Buffer.from(body)
        : Buffer.from(JSON.stringify(body));
      const req = http.request({ host: '127.0.0.1', port: this.port, method, path: target,
        agent: false, headers: { 'content-type': 'application/json', ...headers } }, (res) => {
        const parts = [];
        res.on('data', (d) => parts.push(d));
        res.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          let json;
          try { json = JSON.parse(text); } catch { json = undefined; }
          resolve({ status: res.statusCode, headers: res.headers, text, json });
        });
      });
      req.on('error', reject);
      if (bytes) req.setHeader('content-length', bytes.length);
      req.end(bytes);
    });
  }
  chat(body) {
    return this.request('POST', '/v1/chat/completions', { model, ...body });
  }
  // Streams a chat completion; returns {chunks, content, reasoning, usage, finish, error} and calls
  // onChunk(json) for every event.
  stream(body, onChunk = () => {}, target = '/v1/chat/completions') {
    return new Promise((resolve, reject) => {
      const bytes = Buffer.from(JSON.stringify({ model, stream: true, ...body }));
      const out = { chunks: 0, content: '', reasoning: '', usage: null, finish: null, done: false };
      const req = http.request({ host: '127.0.0.1', port: this.port, method: 'POST', path: target,
        agent: false, headers: { 'content-type': 'application/json', 'content-length': bytes.length } }, (res) => {
        out.status = res.statusCode;
        let text = '';
        res.setEncoding('utf8');
        res.on('data', (d) => {
          text += d;
          for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
            const event = text.slice(0, end);
            if (!event.startsWith('data: ')) continue;
            if (event === 'data: [DONE]') { out.done = true; continue; }
            const json = JSON.parse(event.slice(6));
            out.chunks++;
            if (json.error) out.error = json.error;
            if (json.usage) out.usage = json.usage;
            const choice = json.choices?.[0];
            if (choice) {
              out.content += choice.delta?.content ?? choice.text ?? '';
              out.reasoning += choice.delta?.reasoning_content ?? '';
              out.finish = choice.finish_reason ?? out.finish;
            }
            onChunk(json, out);
          }
        });
        res.on('end', () => { out.rest = text; resolve(out); });
        res.on('error', reject);
      });
      out.abort = () => req.destroy();
      req.on('error', (e) => (out.done ? resolve(out) : reject(e)));
      req.end(bytes);
      this.lastRequest = req;
    });
  }
  async metric(name) {
    const { text } = await this.request('GET', '/metrics');
    let sum = NaN;
    for (const line of text.split('\n')) {
      const m = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$/.exec(line);
      if (m && m[1] === name) sum = (Number.isNaN(sum) ? 0 : sum) + Number(m[3]);
    }
    return sum;
  }
  // Sends raw bytes (a list: with pauses between), returns what came until close or ms passed.
  raw(parts, ms = 2000) {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, '127.0.0.1');
      const got = [];
      const began = Date.now();
      const end = (closed) => {
        socket.destroy();
        const text = Buffer.concat(got).toString('latin1');
        resolve({ text, status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), closed, ms: Date.now() - began });
      };
      const timer = setTimeout(() => end(false), ms);
      socket.on('data', (d) => got.push(d));
      socket.on('error', () => {});
      socket.on('close', () => { clearTimeout(timer); end(true); });
      socket.on('connect', async () => {
        for (const p of Array.isArray(parts) ? parts : [parts]) {
          if (socket.destroyed) return;
          if (typeof p === 'number') await new Promise((r) => setTimeout(r, p));
          else if (!socket.write(p)) await new Promise((r) => { socket.once('drain', r); socket.once('close', r); });
        }
      });
    });
  }
}

// A server for a while: it ends with `use`, however that ends.
export async function withServer(args, use) {
  const server = await Server.start(...args);
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}

export async function waitFor(condition, ms = 1000) {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    if (await condition()) return true;
    await new Promise((r) => setTimeout(r, 10));
  }
  return condition();
}
