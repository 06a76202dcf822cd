// Short messages that go by themselves, and what screen readers hear of answers.
import { signal } from '@preact/signals';

const shownMs = 3500;
const notice = signal('');
let timer: ReturnType<typeof setTimeout> | undefined;

export function notify(text: string): void {
  notice.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => { notice.value = ''; }, shownMs);
}

export const spoken = signal('');

export function Notice() {
  return (
    <>
      <div class="notice" role="status" data-shown={notice.value !== ''}>{notice.value}</div>
      <div class="unseen" role="status">{spoken.value}</div>
    </>
  );
}
