// The list of keys.
import { t } from '../i18n';
import { Dialog } from './dialog';
import { closeLayer } from './layers';
import { isApple } from './shortcuts';

function Keys({ list }: { list: [string[], string][] }) {
  return (
    <dl class="keys">
      {list.map(([keys, what]) => (
        <div key={what}>
          <dt>{what}</dt>
          <dd>{keys.map((key) => <kbd key={key}>{key}</kbd>)}</dd>
        </div>
      ))}
    </dl>
  );
}

export function HelpDialog() {
  const control = isApple ? '⌘' : 'Ctrl';
  return (
    <Dialog kind="box" title={t('help')} onClose={closeLayer}>
      <h3>{t('keysGlobal')}</h3>
      <Keys
        list={[
          [['Enter'], t('keySend')],
          [['Shift', 'Enter'], t('keyLine')],
          [['Esc'], t('keyStop')],
          [[control, 'Shift', 'O'], t('keyNew')],
          [[control, 'K'], t('keySearch')],
          [[control, 'B'], t('keySidebar')],
          [[control, ','], t('keySettings')],
          [[control, '/'], t('keyHelpDialog')],
          [['Alt', '↑', '↓'], t('keyMove')],
        ]}
      />
      <h3>{t('keysMessage')}</h3>
      <Keys
        list={[
          [['C'], t('keyCopy')],
          [['E'], t('keyEdit')],
          [['R'], t('keyRegenerate')],
          [['←', '→'], t('keyBranch')],
          [['T'], t('keyThinking')],
          [['Esc'], t('keyInput')],
        ]}
      />
    </Dialog>
  );
}
