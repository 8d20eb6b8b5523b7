// Makes dist/ out of src/, public/ and hls.js: index.html at the top, all else under assets/. Nothing is bundled: the
// modules are few, and the server zips them.
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = import.meta.dirname;
const dist = join(root, 'dist');
const assets = join(dist, 'assets');
const hls = join(root, 'node_modules', 'hls.js');

const wanted = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')).dependencies['hls.js'];
const found = JSON.parse(await readFile(join(hls, 'package.json'), 'utf8').catch(() => '{}')).version;
if (found !== wanted) {
  console.error(`hls.js ${wanted} is wanted and ${found ?? 'none'} is installed: run npm ci first`);
  process.exit(1);
}

// index.html goes first and comes last: a build that fails leaves none, and the server shows its built-in page.
for (const name of await readdir(dist)) {
  if (name !== '.gitkeep') await rm(join(dist, name), { recursive: true });
}
await mkdir(assets, { recursive: true });

for (const name of await readdir(join(root, 'public'))) {
  if (name !== '.gitkeep') await cp(join(root, 'public', name), join(dist, name), { recursive: true });
}
for (const name of await readdir(join(root, 'src'))) {
  if (name !== 'index.html') await cp(join(root, 'src', name), join(assets, name), { recursive: true });
}
// The source maps are not shipped, so neither are their names.
for (const name of ['hls.min.mjs', 'hls.worker.js']) {
  const text = await readFile(join(hls, 'dist', name), 'utf8');
  await writeFile(join(assets, name), text.replace(/\n?\/\/# sourceMappingURL=\S+\s*$/, '\n'));
}
await cp(join(hls, 'LICENSE'), join(assets, 'hls.LICENSE.txt'));
await cp(join(root, 'src', 'index.html'), join(dist, 'index.html'));
