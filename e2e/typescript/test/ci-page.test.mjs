// The test file that docs/ci.md shows, run as it stands there.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import * as h from '../support/hallpass.mjs';

const SUITE = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const PAGE = path.join(SUITE, '..', '..', 'docs', 'ci.md');

describe('the test file of the page on CI', () => {
  const hallpass = h.useHallpass();

  async function runPage(environment) {
    const [, file] = /```ts\n([\s\S]*?)```/.exec(await readFile(PAGE, 'utf8'));
    // Within the suite, where it finds the client.
    const directory = await mkdtemp(path.join(SUITE, 'node_modules', '.ci-page-'));
    try {
      await writeFile(path.join(directory, 'tokens.test.mjs'), file);
      const { stdout } = await promisify(execFile)(process.execPath, ['tokens.test.mjs'], {
        cwd: directory,
        env: { PATH: process.env.PATH, ...environment },
        timeout: 60_000,
      });
      return stdout;
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  it('passes with an emulator that it starts by itself', async () => {
    const bin = path.dirname(h.BINARY);
    assert.match(await runPage({ PATH: `${bin}:${process.env.PATH}` }), /pass 1\b/);
  });

  it('passes with an emulator that runs already', async () => {
    assert.match(await runPage({ HALLPASS_API: new URL(hallpass.baseURL).origin }), /pass 1\b/);
  });
});
