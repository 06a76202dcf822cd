import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseParser, readEvents } from '../src/model/sse';

const stream = ': keep-alive\n\ndata: {"a":1}\n\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\n' +
  ':\rdata: 思考\r\rdata: [DONE]\n\ndata: never ended';
const expected = ['{"a":1}', 'two\nlines', '思考', '[DONE]'];

test('events come out whole, however the bytes were cut', async () => {
  const bytes = new TextEncoder().encode(stream);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const part of [bytes.slice(0, cut), bytes.slice(cut)]) {
          if (part.length) controller.enqueue(part);
        }
        controller.close();
      },
    });
    const got: string[] = [];
    for await (const event of readEvents(body)) got.push(event);
    assert.deepEqual(got, expected, `cut at ${cut}`);
  }
});

test('byte by byte gives the same', () => {
  const parser = new SseParser();
  assert.deepEqual([...stream].flatMap((c) => parser.push(c)), expected);
});

test('the body is cancelled when nobody reads on', async () => {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) { controller.enqueue(new TextEncoder().encode('data: x\n\n')); },
    cancel() { cancelled = true; },
  });
  for await (const event of readEvents(body)) {
    assert.equal(event, 'x');
    break;
  }
  assert.ok(cancelled);
});
