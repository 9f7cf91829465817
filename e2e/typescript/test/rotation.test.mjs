// New secrets for old: versions, and the grace of the previous secret.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import Cloudflare from 'cloudflare';

import * as h from '../support/hallpass.mjs';

const account_id = h.ACCOUNT;

describe('rotation', () => {
  const hallpass = h.useHallpass();
  const tokens = () => hallpass.withToken().zeroTrust.access.serviceTokens;
  const inHours = async (n) => new Date((await hallpass.now()) + h.hours(n)).toISOString();

  it('gives a new secret and the next version, and nothing else', async () => {
    const api = tokens();
    const created = await api.create({ account_id, name: 'deploy' });

    const rotated = await api.rotate(created.id, { account_id });

    h.assertMinted(rotated.client_secret, 'cfast');
    assert.notEqual(rotated.client_secret, created.client_secret);
    assert.equal(rotated.client_secret_version, 2);
    for (const field of ['id', 'client_id', 'name', 'duration', 'enabled', 'created_at']) {
      assert.equal(rotated[field], created[field]);
    }
    const stored = await api.get(created.id, { account_id });
    assert.equal(stored.client_secret_version, 2);
    assert.equal(stored.expires_at, created.expires_at);
    assert.ok(!('client_secret' in stored));
  });

  it('ends the previous secret at once when no grace is given', async () => {
    const rotated = await tokens().rotate(h.SERVICE_TOKEN, { account_id });

    assert.notEqual(rotated.client_secret, h.CLIENT_SECRET);
    h.assertNear(rotated.previous_client_secret_expires_at, await hallpass.now());
  });

  it('keeps two secrets alive until the instant that was asked for', async () => {
    const api = tokens();
    const created = await api.create({ account_id, name: 'deploy' });
    const grace = '2035-11-15T10:30:00Z';

    const rotated = await api.rotate(created.id, {
      account_id,
      previous_client_secret_expires_at: grace,
    });

    assert.equal(rotated.previous_client_secret_expires_at, grace);
    assert.notEqual(rotated.client_secret, created.client_secret);
    assert.equal(rotated.client_secret_version, 2);
    for (const reply of [
      await api.get(created.id, { account_id }),
      ...(await h.all(api.list({ account_id, name: 'deploy' }))),
      await api.refresh(created.id, { account_id }),
      await api.update(created.id, { account_id, name: 'renamed' }),
    ]) {
      assert.equal(reply.previous_client_secret_expires_at, grace);
      assert.equal(reply.client_secret_version, 2);
      assert.ok(!('client_secret' in reply));
    }
  });

  for (const grace of [
    '2023-01-01T00:00:00Z',
    '2023-01-01T00:00:00.25Z',
    '2035-06-01T12:00:00.5+02:00',
  ]) {
    it(`accepts a grace until ${grace}, and echoes the same instant`, async () => {
      const api = tokens();
      const created = await api.create({ account_id, name: 'deploy' });

      const rotated = await api.rotate(created.id, {
        account_id,
        previous_client_secret_expires_at: grace,
      });
      const updated = await api.update(created.id, {
        account_id,
        client_secret_version: 3,
        previous_client_secret_expires_at: grace,
      });

      for (const reply of [rotated, updated]) {
        h.assertMinted(reply.client_secret, 'cfast');
        const echo = reply.previous_client_secret_expires_at;
        assert.equal(h.instant(echo), h.instant(grace));
        assert.match(echo, /Z$/);
      }
    });
  }

  it('leaves at most one previous secret: the second rotation sets a new grace', async () => {
    const api = tokens();
    const { id } = await api.create({ account_id, name: 'deploy' });
    const [first, second] = ['2035-01-01T00:00:00Z', '2036-01-01T00:00:00Z'];

    const one = await api.rotate(id, { account_id, previous_client_secret_expires_at: first });
    const two = await api.rotate(id, { account_id, previous_client_secret_expires_at: second });

    assert.notEqual(two.client_secret, one.client_secret);
    assert.equal(two.client_secret_version, 3);
    assert.equal(two.previous_client_secret_expires_at, second);
  });

  it('can have its grace made longer, shorter or past, without another secret', async () => {
    const api = tokens();
    const { id } = await api.create({ account_id, name: 'deploy' });
    await api.rotate(id, { account_id, previous_client_secret_expires_at: await inHours(24) });

    for (const grace of [await inHours(240), await inHours(1), '2023-01-01T00:00:00Z']) {
      const moved = await api.update(id, { account_id, previous_client_secret_expires_at: grace });
      assert.equal(h.instant(moved.previous_client_secret_expires_at), h.instant(grace));
      assert.equal(moved.client_secret_version, 2);
      assert.ok(!('client_secret' in moved));
    }
  });

  it('forgets its grace by a null only once the previous secret is dead', async () => {
    const api = tokens();
    const { id } = await api.create({ account_id, name: 'deploy' });
    const grace = await inHours(2);
    await api.rotate(id, { account_id, previous_client_secret_expires_at: grace });
    const setNull = () => api.update(id, { account_id, previous_client_secret_expires_at: null });

    const alive = await setNull();
    assert.equal(h.instant(alive.previous_client_secret_expires_at), h.instant(grace));

    await hallpass.advance('3h');
    const dead = await setNull();
    assert.ok(!('previous_client_secret_expires_at' in dead));
  });

  it('accepts a null where no secret was ever rotated out', async () => {
    const reply = await tokens().update(h.SERVICE_TOKEN, {
      account_id,
      previous_client_secret_expires_at: null,
    });

    assert.ok(!('previous_client_secret_expires_at' in reply));
    assert.equal(reply.client_secret_version, 1);
  });

  it('happens when an update brings a higher version, which then is the version', async () => {
    const api = tokens();
    const created = await api.create({ account_id, name: 'deploy' });

    const second = await api.update(created.id, { account_id, client_secret_version: 2 });
    h.assertMinted(second.client_secret, 'cfast');
    assert.notEqual(second.client_secret, created.client_secret);
    assert.equal(second.client_secret_version, 2);
    assert.equal(second.expires_at, created.expires_at);
    assert.equal(second.client_id, created.client_id);

    const fifth = await api.update(created.id, { account_id, client_secret_version: 5 });
    h.assertMinted(fifth.client_secret, 'cfast');
    assert.notEqual(fifth.client_secret, second.client_secret);
    assert.equal(fifth.client_secret_version, 5);

    const sixth = await api.rotate(created.id, { account_id });
    assert.equal(sixth.client_secret_version, 6);
  });

  it('does not happen when the version is equal, lower or 0', async () => {
    const api = tokens();
    const { id } = await api.create({ account_id, name: 'deploy' });
    await api.update(id, { account_id, client_secret_version: 3 });

    for (const client_secret_version of [3, 2, 1, 0]) {
      const reply = await api.update(id, { account_id, client_secret_version });
      assert.equal(reply.client_secret_version, 3);
      assert.ok(!('client_secret' in reply));
    }
    assert.equal((await api.get(id, { account_id })).client_secret_version, 3);
  });

  for (const client_secret_version of [1.5, -1]) {
    it(`refuses ${client_secret_version} as a version`, async () => {
      const error = await h.refusal(
        tokens().update(h.SERVICE_TOKEN, { account_id, client_secret_version }),
        Cloudflare.BadRequestError,
        400,
        12130,
      );

      assert.equal(error.errors[0].source.pointer, '/client_secret_version');
    });
  }

  it('says the version as a whole number', async () => {
    const response = await tokens()
      .update(h.SERVICE_TOKEN, { account_id, client_secret_version: 2 })
      .asResponse();

    assert.match(await response.text(), /"client_secret_version":2[,}]/);
  });

  it('may have happened before the token was made: a version and a past grace', async () => {
    const grace = '2024-11-15T10:30:00Z';
    const created = await tokens().create({
      account_id,
      name: 'deploy',
      client_secret_version: 3,
      previous_client_secret_expires_at: grace,
    });

    h.assertMinted(created.client_secret, 'cfast');
    assert.equal(created.client_secret_version, 3);
    assert.equal(created.previous_client_secret_expires_at, grace);
  });

  it('takes version 0 at creation for "not given"', async () => {
    const created = await tokens().create({
      account_id,
      name: 'deploy',
      client_secret_version: 0,
    });

    assert.equal(created.client_secret_version, 1);
  });

  it('done by many at once loses none: each gets a version and a secret of its own', async () => {
    const api = tokens();
    const { id } = await api.create({ account_id, name: 'deploy' });

    const rotated = await Promise.all(
      Array.from({ length: 8 }, () => api.rotate(id, { account_id })),
    );

    assert.deepEqual(
      rotated.map((token) => token.client_secret_version).sort((a, b) => a - b),
      [2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.equal(new Set(rotated.map((token) => token.client_secret)).size, 8);
    assert.equal((await api.get(id, { account_id })).client_secret_version, 9);
  });
});
