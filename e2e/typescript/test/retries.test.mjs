// What the client does by itself when the server fails, and where the server stops it.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import Cloudflare from 'cloudflare';

import * as h from '../support/hallpass.mjs';

const account_id = h.ACCOUNT;

describe('retries', () => {
  const hallpass = h.useHallpass();

  /** A stock client with its usual two retries, and the list of what it sent. */
  function watched(connect = (options) => hallpass.withToken(h.API_TOKEN, options)) {
    const { requests, fetch } = h.recorder();
    const client = connect({ fetch });
    return { client, tokens: client.zeroTrust.access.serviceTokens, requests };
  }
  const attempts = (requests) => requests.map(({ retry }) => retry);

  it('carry a refresh over two failures of the server', async () => {
    const { tokens, requests } = watched();
    const before = await tokens.get(h.SERVICE_TOKEN, { account_id });
    await hallpass.advance('30m');
    await hallpass.fail(500, { times: 2 });
    requests.length = 0;

    const refreshed = await tokens.refresh(h.SERVICE_TOKEN, { account_id });

    assert.deepEqual(attempts(requests), ['0', '1', '2']);
    h.assertNear(refreshed.expires_at, h.instant(before.expires_at) + h.minutes(30));
    assert.equal(refreshed.client_secret_version, 1);
  });

  it('give up after the second', async () => {
    const { tokens, requests } = watched();
    await hallpass.fail(500, { times: 3 });

    const error = await h.refusal(
      tokens.refresh(h.SERVICE_TOKEN, { account_id }),
      Cloudflare.InternalServerError,
      500,
      10001,
    );

    assert.equal(requests.length, 3);
    assert.notEqual(error.headers.get('x-should-retry'), 'false');
  });

  it('wait as long as a 429 asks', async () => {
    const { tokens, requests } = watched();
    await hallpass.fail(429, { retry_after: 1 });
    const start = performance.now();

    const refreshed = await tokens.refresh(h.SERVICE_TOKEN, { account_id });

    assert.equal(refreshed.id, h.SERVICE_TOKEN);
    assert.deepEqual(attempts(requests), ['0', '1']);
    const waited = performance.now() - start;
    assert.ok(waited >= 950, `waited ${waited} ms`);
  });

  it('carry reads, and updates without a new version, over a failure', async () => {
    const { tokens, requests } = watched();
    for (const send of [
      () => tokens.list({ account_id }),
      () => tokens.get(h.SERVICE_TOKEN, { account_id }),
      () => tokens.update(h.SERVICE_TOKEN, { account_id, name: 'other' }),
    ]) {
      await hallpass.fail(500);
      requests.length = 0;
      await send();
      assert.deepEqual(attempts(requests), ['0', '1']);
    }
  });

  describe('are forbidden where they could cost a live secret:', () => {
    const policies = [
      {
        effect: 'allow',
        permission_groups: [{ id: h.SERVICE_TOKENS_READ }],
        resources: { [`com.cloudflare.api.account.${account_id}`]: '*' },
      },
    ];
    const byKey = (options) => hallpass.withKey(options);

    for (const [what, send] of [
      ['creating a service token', ({ tokens }) => tokens.create({ account_id, name: 'deploy' })],
      ['rotating', ({ tokens }) => tokens.rotate(h.SERVICE_TOKEN, { account_id })],
      [
        'updating with a version',
        ({ tokens }) =>
          tokens.update(h.SERVICE_TOKEN, { account_id, client_secret_version: 2 }),
      ],
      [
        'creating a user’s API token',
        ({ client }) => client.user.tokens.create({ name: 'reader', policies }),
      ],
      [
        'creating an account’s API token',
        ({ client }) => client.accounts.tokens.create({ account_id, name: 'reader', policies }),
      ],
    ]) {
      it(what, async () => {
        const { requests, ...connection } = watched(byKey);
        await hallpass.fail(500);

        const error = await h.refusal(
          send(connection),
          Cloudflare.InternalServerError,
          500,
          10001,
        );

        assert.equal(error.headers.get('x-should-retry'), 'false');
        assert.deepEqual(attempts(requests), ['0']);
      });
    }

    it('rolling an API token', async () => {
      const { client, requests } = watched(byKey);
      const owned = await client.user.tokens.create({ name: 'reader', policies });
      await hallpass.fail(500);
      requests.length = 0;

      const error = await h.refusal(
        client.user.tokens.value.update(owned.id),
        Cloudflare.InternalServerError,
        500,
        10001,
      );

      assert.equal(error.headers.get('x-should-retry'), 'false');
      assert.deepEqual(attempts(requests), ['0']);
    });
  });

  describe('of a rotation whose reply got lost', () => {
    const grace = '2035-01-01T00:00:00Z';

    it('are made by the client itself, and keep the grace that was asked for', async () => {
      let cut = true;
      const { requests, fetch: send } = h.recorder(async (url, init) => {
        const response = await fetch(url, init);
        if (!cut) return response;
        cut = false;
        await response.text();
        throw new TypeError('the connection broke before the reply');
      });
      const tokens = hallpass.withToken(h.API_TOKEN, { fetch: send }).zeroTrust.access
        .serviceTokens;

      const rotated = await tokens.rotate(h.SERVICE_TOKEN, {
        account_id,
        previous_client_secret_expires_at: grace,
      });

      assert.deepEqual(attempts(requests), ['0', '1']);
      h.assertMinted(rotated.client_secret, 'cfast');
      assert.equal(rotated.previous_client_secret_expires_at, grace);
      const stored = await tokens.get(h.SERVICE_TOKEN, { account_id });
      assert.equal(stored.client_secret_version, rotated.client_secret_version);
      assert.equal(stored.previous_client_secret_expires_at, grace);
    });

    it('leave the previous secret and its grace alone for a minute', async () => {
      const { tokens } = watched();
      const retry = { headers: { 'X-Stainless-Retry-Count': '1' } };
      const first = await tokens.rotate(h.SERVICE_TOKEN, {
        account_id,
        previous_client_secret_expires_at: grace,
      });

      const again = await tokens.rotate(h.SERVICE_TOKEN, { account_id }, retry);
      assert.notEqual(again.client_secret, first.client_secret);
      assert.equal(again.previous_client_secret_expires_at, grace);

      await hallpass.advance('2m');
      const later = await tokens.rotate(h.SERVICE_TOKEN, { account_id }, retry);
      h.assertNear(later.previous_client_secret_expires_at, await hallpass.now());
    });
  });
});
