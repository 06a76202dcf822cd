// Serves the page of the real binary with a model whose answers the test writes:
//
//   const front = await ScriptedModel.start(server);
//   front.answer = async (body, send) => { send({ content: 'hi' }); };   // or throw {status, error}
//
// With answer = null everything goes to the real binary; `paceMs` then delays each of its events.
import http from 'node:http';

export class ScriptedModel {
  answer = null;
  paceMs = 0;
  bodies = []; // of the requests for completions
  cut = 0; // answers that the client did not read to the end

  static async start(server) {
    const front = new ScriptedModel();
    front.server = server;
    front.http = http.createServer((req, res) => front.#serve(req, res).catch(() => res.destroy()));
    await new Promise((resolve) => front.http.listen(0, '127.0.0.1', resolve));
    front.url = `http://127.0.0.1:${front.http.address().port}/`;
    return front;
  }
  stop() {
    this.http.close();
    this.http.closeAllConnections?.();
  }

  async #serve(req, res) {
    if (req.url !== '/v1/chat/completions') return this.#forward(req, res, null);
    const parts = [];
    for await (const part of req) parts.push(part);
    const bytes = Buffer.concat(parts);
    this.bodies.push(JSON.parse(bytes));
    res.on('close', () => { if (!res.writableFinished) this.cut++; });
    if (this.answer) return this.#script(this.bodies.at(-1), res);
    return this.#forward(req, res, bytes);
  }

  #forward(req, res, bytes) {
    return new Promise((resolve, reject) => {
      const { host, ...headers } = req.headers;
      const to = http.request({ host: '127.0.0.1', port: this.server.port, path: req.url,
        method: req.method, agent: false, headers }, async (from) => {
        res.writeHead(from.statusCode, from.headers);
        for await (const part of from) {
          for (const event of this.paceMs ? part.toString().split(/(?<=\n\n)/) : [part]) {
            if (this.paceMs) await new Promise((r) => setTimeout(r, this.paceMs));
            if (res.destroyed) return from.destroy();
            res.write(event);
          }
        }
        res.end();
        resolve();
      });
      to.on('error', reject);
      res.on('close', () => { to.destroy(); resolve(); });
      to.end(bytes ?? undefined);
    });
  }

  async #script(body, res) {
    let open = false;
    let finish = 'stop';
    let tokens = 0;
    const write = (json) => {
      if (!open) res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      open = true;
      return res.write(`data: ${JSON.stringify(json)}\n\n`);
    };
    const chunk = (delta, reason = null) =>
      write({ model: body.model, choices: [{ index: 0, delta, finish_reason: reason }], usage: null });
    const send = (delta) => {
      tokens++;
      if (delta.tool_calls) finish = 'tool_calls';
      if (delta.error) return write({ error: delta.error });
      return chunk(delta);
    };
    try {
      await this.answer(body, send, res);
    } catch (refusal) {
      if (!refusal.status) throw refusal;
      res.writeHead(refusal.status, { 'content-type': 'application/json', ...refusal.headers });
      return res.end(JSON.stringify({ error: refusal.error }));
    }
    if (res.destroyed) return;
    chunk({}, finish);
    write({ choices: [], usage: { prompt_tokens: 12, completion_tokens: tokens,
      prompt_tokens_details: { cached_tokens: 8 }, completion_tokens_details: { reasoning_tokens: 0 } } });
    res.end('data: [DONE]\n\n');
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
