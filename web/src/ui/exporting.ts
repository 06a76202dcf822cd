// Files out of conversations and back.
import { t } from '../i18n';
import { fileName, toJson, toMarkdown } from '../model/transfer';
import { allBodies, bodyOf, importJson } from '../state/conversations';
import { download } from './clipboard';
import { notify } from './notice';

export async function exportChat(id: string, form: 'markdown' | 'json'): Promise<void> {
  const c = await bodyOf(id);
  if (!c) return;
  if (form === 'json') {
    return download(fileName(c.title, 'json'), 'application/json', toJson([c]));
  }
  const headings = {
    user: t('you'), assistant: t('assistant'), tool: t('results'), system: t('systemPrompt'),
    thinking: t('thoughtNoTime'), toolCall: t('toolCall'),
  };
  download(fileName(c.title, 'md'), 'text/markdown', toMarkdown(c, headings));
}

export async function exportAll(): Promise<void> {
  const day = new Date().toISOString().slice(0, 10);
  download(`hadal-${day}.json`, 'application/json', toJson(await allBodies()));
}

export function chooseImport(): void {
  const input = document.createElement('input');
  input.type = 'file';
  input.accept = '.json,application/json';
  input.onchange = async () => {
    const file = input.files?.[0];
    if (!file) return;
    const n = await importJson(await file.text());
    notify(n === null ? t('importFailed') : t('imported', { n }));
  };
  input.click();
}
