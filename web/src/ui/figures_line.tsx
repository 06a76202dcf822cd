// What an answer cost, in one line.
import { formatDuration, formatNumber, t } from '../i18n';
import type { Figures } from '../model/types';

export function FiguresLine({ figures }: { figures: Figures }) {
  const about = figures.exact ? '' : '≈ ';
  const parts: [string, string][] = [];
  if (figures.promptTokens !== undefined) {
    const cached = figures.cachedTokens
      ? ` (${formatNumber(figures.cachedTokens)} ${t('cached')})` : '';
    parts.push([t('prompt'), formatNumber(figures.promptTokens) + cached]);
  }
  parts.push([t('completion'), about + formatNumber(figures.completionTokens)]);
  if (figures.tokensPerSecond !== undefined) {
    const digits = figures.tokensPerSecond < 100 ? 1 : 0;
    const bound = figures.burst ? '≥ ' : about;
    parts.push(['', `${bound}${formatNumber(figures.tokensPerSecond, digits)} ${t('tokensPerSecond')}`]);
  }
  if (figures.firstTokenMs !== undefined) {
    parts.push([t('firstToken'), formatDuration(figures.firstTokenMs)]);
  }
  return (
    <span class="figures" title={!figures.exact ? t('approximate') : figures.burst ? t('burst') : undefined}>
      {parts.map(([label, value]) => (
        <span key={label}>{label && <span class="label">{label} </span>}{value}</span>
      ))}
    </span>
  );
}
