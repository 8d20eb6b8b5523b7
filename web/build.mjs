// Makes dist/ out of src/, public/, hls.js and swagger-ui: index.html and docs.html at the top, all else under assets/.
// Nothing is bundled: the modules are few, and the server zips them.
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = import.meta.dirname;
const dist = join(root, 'dist');
const assets = join(dist, 'assets');
const pages = ['index.html', 'docs.html'];
const modules = join(root, 'node_modules');
const hls = join(modules, 'hls.js');
const swagger = join(modules, 'swagger-ui-dist');

const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
for (const [name, wanted] of Object.entries(dependencies)) {
  const found = JSON.parse(await readFile(join(modules, name, 'package.json'), 'utf8').catch(() => '{}')).version;
  if (found !== wanted) {
    console.error(`${name} ${wanted} is wanted and ${found ?? 'none'} is installed: run npm ci first`);
    process.exit(1);
  }
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
  if (!pages.includes(name)) await cp(join(root, 'src', name), join(assets, name), { recursive: true });
}
// The source maps are not shipped, so neither are their names.
for (const [from, name] of [
  [join(hls, 'dist'), 'hls.min.mjs'], [join(hls, 'dist'), 'hls.worker.js'],
  [swagger, 'swagger-ui-bundle.js'], [swagger, 'swagger-ui.css'],
]) {
  const text = await readFile(join(from, name), 'utf8');
  await writeFile(join(assets, name), text.replace(/\n?(\/\/|\/\*)# sourceMappingURL=[^\s*]+\s*(\*\/)?\s*$/, '\n'));
}
await cp(join(hls, 'LICENSE'), join(assets, 'hls.LICENSE.txt'));
await cp(join(swagger, 'LICENSE'), join(assets, 'swagger-ui.LICENSE.txt'));
await cp(join(swagger, 'NOTICE'), join(assets, 'swagger-ui.NOTICE.txt'));
await cp(join(swagger, 'swagger-ui-bundle.js.LICENSE.txt'), join(assets, 'swagger-ui-bundle.js.LICENSE.txt'));
for (const name of pages.toReversed()) await cp(join(root, 'src', name), join(dist, name));
