// An answer's Markdown on the screen. While it grows, finished blocks stay as they are and only the
// last one is rendered again; a rendering that takes long is followed by a pause, so that the page
// stays smooth whatever the block is.
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { t } from '../i18n';
import { BlockStream } from '../text/block_stream';
import { epoch } from '../text/engines';
import { toHtml } from '../text/markdown';
import { morph } from '../text/morph';
import { toNodes } from '../text/sanitize';
import { copy } from './clipboard';

const pauseFactor = 3; // of the time that rendering took: at most a quarter of the time renders

class GrowingView {
  #blocks: BlockStream;
  #kept = 0; // nodes of finished blocks
  #source = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #freeAtMs = 0;

  constructor(private root: HTMLElement, readonly copyLabel: string) {
    this.#blocks = new BlockStream(copyLabel);
  }

  show(source: string): void {
    this.#source = source;
    if (this.#timer !== undefined) return;
    const wait = this.#freeAtMs - performance.now();
    if (wait <= 0) return this.#draw();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#draw();
    }, wait);
  }
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
  // True when the whole text is shown; else it must be rendered anew.
  finish(source: string, copyLabel: string): boolean {
    this.#source = source;
    this.#draw(false);
    return !this.#blocks.dependsOnLaterText && copyLabel === this.copyLabel;
  }
  #draw(growing = true): void {
    const began = performance.now();
    const { finished, open } = this.#blocks.update(this.#source, growing);
    const done = [...toNodes(finished).childNodes];
    morph(this.root, [...done, ...toNodes(open).childNodes], this.#kept);
    this.#kept += done.length;
    const tookMs = performance.now() - began;
    this.#freeAtMs = tookMs < 4 ? 0 : began + tookMs * (1 + pauseFactor);
  }
}

function onClick(event: MouseEvent): void {
  const button = (event.target as Element).closest('.copy-code');
  const code = button?.closest('.code')?.querySelector('pre');
  if (code) void copy(code.textContent!.replace(/\n$/, ''));
}

export function MarkdownView({ source, growing }: { source: string; growing: boolean }) {
  const ref = useRef<HTMLDivElement>(null);
  const view = useRef<GrowingView | null>(null);
  const viewEpoch = useRef(0);
  const rendered = epoch.value;
  const copyLabel = t('copy');
  useLayoutEffect(() => {
    const root = ref.current!;
    if (growing) {
      if (viewEpoch.current !== rendered) { // finished blocks once more
        view.current?.stop();
        view.current = null;
      }
      viewEpoch.current = rendered;
      view.current ??= new GrowingView(root, copyLabel);
      view.current.show(source);
      return;
    }
    const grown = view.current;
    view.current = null;
    grown?.stop();
    if (viewEpoch.current === rendered && grown?.finish(source, copyLabel)) return;
    morph(root, [...toNodes(toHtml(source, { copyLabel })).childNodes]);
  }, [source, growing, rendered, copyLabel]);
  useEffect(() => () => view.current?.stop(), []);
  return <div ref={ref} class="markdown" onClick={onClick} />;
}
