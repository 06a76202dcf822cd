// Server-sent events: bytes in any pieces to the data of each event. Comments, which keep the
// connection alive, and fields other than data give nothing.

export class SseParser {
  #line = '';
  #data: string[] = [];
  #afterReturn = false;

  push(text: string): string[] {
    const events: string[] = [];
    for (let at = 0; at < text.length;) {
      if (this.#afterReturn) {
        this.#afterReturn = false;
        if (text[at] === '\n') at++;
        continue;
      }
      const end = lineEnd(text, at);
      this.#line += text.slice(at, end);
      if (end === text.length) break;
      this.#afterReturn = text[end] === '\r';
      at = end + 1;
      this.#endLine(events);
    }
    return events;
  }

  #endLine(events: string[]): void {
    const line = this.#line;
    this.#line = '';
    if (line === '') {
      if (this.#data.length) events.push(this.#data.join('\n'));
      this.#data = [];
    } else if (line.startsWith('data:')) {
      this.#data.push(line.slice(line[5] === ' ' ? 6 : 5));
    }
  }
}

function lineEnd(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 10 || c === 13) return i;
  }
  return text.length;
}

export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const parser = new SseParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {}); // also when the consumer stopped early
  }
}
