// Loads highlighting and math when the first answer needs them; `epoch` changes when one is there,
// so that what was rendered without it is rendered again.
import { signal } from '@preact/signals';
import { type Engine, engines } from './markdown';

declare const KATEX_CSS: string; // path of the style sheet, set by build.mjs

export const epoch = signal(0);
const loading = new Set<Engine>();

async function load(engine: Engine): Promise<void> {
  if (engine === 'highlight') {
    engines.highlight = (await import('./highlight')).highlight;
  } else {
    const module = await import('./math');
    await module.loadStyles(KATEX_CSS);
    engines.math = module.math;
  }
  epoch.value++;
}

engines.onWanted = (engine) => {
  if (loading.has(engine)) return;
  loading.add(engine);
  load(engine).catch(() => {
    // Offline, or the server was replaced: plain text stays, the next answer tries again.
    setTimeout(() => loading.delete(engine), 5000);
  });
};
