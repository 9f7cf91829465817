// The example that the client's authors publish for "refresh", run as it is.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import * as h from '../support/hallpass.mjs';

const SUITE = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const SNIPPET = path.join(SUITE, 'snippets', 'refresh.mjs');
const PACKAGE = path.join(SUITE, 'node_modules', 'cloudflare');

const withoutBlanks = (text) => text.replace(/\s+/g, '');

describe('the documented refresh snippet', () => {
  const hallpass = h.useHallpass();

  async function runSnippet(environment) {
    const { stdout } = await promisify(execFile)(process.execPath, [SNIPPET], {
      env: { PATH: process.env.PATH, CLOUDFLARE_BASE_URL: hallpass.baseURL, ...environment },
      timeout: 30_000,
    });
    return stdout.trim();
  }

  const seeded = () =>
    hallpass
      .withToken()
      .zeroTrust.access.serviceTokens.get(h.SERVICE_TOKEN, { account_id: h.ACCOUNT });

  it('is word for word the one in the installed package', async () => {
    const snippet = withoutBlanks(await readFile(SNIPPET, 'utf8'));
    const types = await readFile(
      path.join(PACKAGE, 'resources/zero-trust/access/service-tokens.d.ts'),
      'utf8',
    );
    const [, example] = /Refreshes the expiration[\s\S]*?```ts\n([\s\S]*?)```/.exec(types);
    const readme = await readFile(path.join(PACKAGE, 'README.md'), 'utf8');
    const [opening] = /import Cloudflare[\s\S]*?\}\);/.exec(readme);

    assert.ok(snippet.includes(withoutBlanks(example.replace(/^ *\*/gm, ''))));
    assert.ok(snippet.startsWith(withoutBlanks(opening)));
  });

  it('runs with an API token, and moves the expiry', async () => {
    const before = await seeded();
    await hallpass.advance('30m');

    assert.equal(await runSnippet({ CLOUDFLARE_API_TOKEN: h.API_TOKEN }), h.SERVICE_TOKEN);

    const { expires_at, updated_at, ...after } = await seeded();
    h.assertNear(expires_at, h.instant(before.expires_at) + h.minutes(30));
    h.assertNear(updated_at, h.instant(before.updated_at) + h.minutes(30));
    delete before.expires_at;
    delete before.updated_at;
    assert.deepEqual(after, before);
  });

  it('runs with an e-mail address and a global key', async () => {
    const before = await seeded();
    await hallpass.advance('30m');

    const said = await runSnippet({ CLOUDFLARE_EMAIL: h.EMAIL, CLOUDFLARE_API_KEY: h.API_KEY });

    assert.equal(said, h.SERVICE_TOKEN);
    h.assertNear((await seeded()).expires_at, h.instant(before.expires_at) + h.minutes(30));
  });

  it('fails with the code of the refusal when the API token is not known', async () => {
    await assert.rejects(
      runSnippet({ CLOUDFLARE_API_TOKEN: h.UNKNOWN_API_TOKEN }),
      ({ stderr }) => stderr.includes('PermissionDeniedError') && stderr.includes('"code":9109'),
    );
  });
});
