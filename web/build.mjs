// Bundles the page: node build.mjs [FOLDER]. Names under assets/ carry a hash of the
// content, so that they can be kept for ever; index.html names them.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(process.argv[2] ?? path.join(here, 'dist'));

// Browsers that have modules have woff2: the other formats of KaTeX's fonts stay out.
const onlyWoff2 = {
  name: 'only-woff2',
  setup(build) {
    build.onLoad({ filter: /katex\.css$/ }, async ({ path: file }) => ({
      contents: (await fs.promises.readFile(file, 'utf8'))
        .replace(/,\s*url\([^)]*\) format\(['"](woff|truetype)['"]\)/g, ''),
      loader: 'css',
    }));
  },
};

const options = {
  absWorkingDir: here,
  outdir: path.join(out, 'assets'),
  bundle: true,
  minify: true,
  splitting: true,
  format: 'esm',
  target: ['chrome111', 'firefox113', 'safari16.4'],
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  assetNames: '[name]-[hash]',
  publicPath: '/assets',
  loader: { '.woff2': 'file', '.svg': 'file' },
  metafile: true,
  legalComments: 'eof',
  logLevel: 'warning',
  plugins: [onlyWoff2],
};

// Entry point -> its path on the server.
function served(result) {
  return Object.fromEntries(Object.entries(result.metafile.outputs)
    .filter(([, output]) => output.entryPoint)
    .map(([file, output]) => [path.basename(output.entryPoint), `/assets/${path.basename(file)}`]));
}

async function build() {
  fs.rmSync(out, { recursive: true, force: true });
  const katex = served(await esbuild.build({ ...options, entryPoints: ['node_modules/katex/dist/katex.css'] }));
  const page = served(await esbuild.build({
    ...options,
    entryPoints: ['src/main.tsx', 'src/theme.ts', 'src/style/page.css'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    define: { KATEX_CSS: JSON.stringify(katex['katex.css']) },
  }));
  const icon = fs.readdirSync(options.outdir).find((f) => /^icon-.*\.svg$/.test(f));
  const html = fs.readFileSync(path.join(here, 'static/index.html'), 'utf8')
    .replaceAll(/\{\{([\w.]+)\}\}/g, (_, name) => (name === 'icon.svg' ? `/assets/${icon}` : page[name]));
  if (html.includes('undefined')) throw new Error('index.html names a file that was not built');
  fs.writeFileSync(path.join(out, 'index.html'), html);
  fs.copyFileSync(path.join(here, 'static/favicon.ico'), path.join(out, 'favicon.ico'));
}

await build();
