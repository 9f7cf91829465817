// Service tokens: create, get, update, refresh, rotate and delete.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import Cloudflare from 'cloudflare';

import * as h from '../support/hallpass.mjs';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const WHOLE_SECOND = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const FOREVER = '2999-12-31T23:59:59Z';

// What every reply holds; a secret, a grace and a last use come on top where there are any.
const FIELDS = [
  'client_id',
  'client_secret_version',
  'created_at',
  'duration',
  'enabled',
  'expires_at',
  'id',
  'name',
  'updated_at',
];

const account_id = h.ACCOUNT;
const zone_id = h.ZONE;

describe('service tokens', () => {
  const hallpass = h.useHallpass();
  const tokens = (client = hallpass.withToken()) => client.zeroTrust.access.serviceTokens;

  const ways = [
    ['an API token', () => hallpass.withToken()],
    ['an e-mail address and a global key', () => hallpass.withKey()],
  ];
  for (const [way, connect] of ways) {
    it(`can be created, read, changed, refreshed, rotated and deleted with ${way}`, async () => {
      const api = tokens(connect());

      const created = await api.create({ account_id, name: 'deploy', duration: '24h' });
      assert.equal(created.name, 'deploy');
      assert.equal(created.duration, '24h');
      const { client_secret, ...visible } = created;

      assert.deepEqual(await api.get(created.id, { account_id }), visible);
      const listed = await h.all(api.list({ account_id }));
      assert.deepEqual(listed.map(({ id }) => id), [created.id, h.SERVICE_TOKEN]);
      assert.deepEqual(listed[0], visible);

      const renamed = await api.update(created.id, { account_id, name: 'deploy to production' });
      assert.deepEqual(
        { ...renamed, updated_at: visible.updated_at },
        { ...visible, name: 'deploy to production' },
      );

      await hallpass.advance('1h');
      const refreshed = await api.refresh(created.id, { account_id });
      h.assertNear(refreshed.expires_at, h.instant(visible.expires_at) + h.hours(1));
      assert.equal(refreshed.name, 'deploy to production');

      const rotated = await api.rotate(created.id, { account_id });
      assert.equal(rotated.client_id, created.client_id);
      assert.notEqual(rotated.client_secret, client_secret);

      const last = await api.get(created.id, { account_id });
      assert.deepEqual(await api.delete(created.id, { account_id }), last);
      await h.refusal(api.get(created.id, { account_id }), Cloudflare.NotFoundError, 404, 12135);
      assert.deepEqual(
        (await h.all(api.list({ account_id }))).map(({ id }) => id),
        [h.SERVICE_TOKEN],
      );
    });
  }

  it('are seeded with the one of the published example', async () => {
    const seeded = await tokens().get(h.SERVICE_TOKEN, { account_id });

    assert.deepEqual(Object.keys(seeded).sort(), FIELDS);
    assert.equal(seeded.name, 'CI/CD token');
    assert.equal(seeded.duration, '60m');
    assert.equal(seeded.client_id, h.CLIENT_ID);
    assert.equal(seeded.enabled, true);
    h.assertNear(seeded.expires_at, (await hallpass.now()) + h.hours(1));
  });

  it('are born with a secret, one year to live, and no field that nobody set', async () => {
    const { data, response } = await tokens()
      .create({ account_id, name: 'deploy' })
      .withResponse();

    assert.equal(response.status, 201);
    assert.deepEqual(Object.keys(data).sort(), [...FIELDS, 'client_secret'].sort());
    assert.match(data.id, UUID);
    assert.match(data.client_id, /^[0-9a-f]{32}\.access$/);
    h.assertMinted(data.client_secret, 'cfast');
    assert.equal(data.client_secret_version, 1);
    assert.equal(data.enabled, true);
    assert.equal(data.duration, '8760h');
    for (const time of [data.created_at, data.updated_at, data.expires_at]) {
      assert.match(time, WHOLE_SECOND);
    }
    h.assertNear(data.created_at, await hallpass.now());
    assert.equal(data.updated_at, data.created_at);
    const life = h.instant(data.expires_at) - h.instant(data.created_at);
    assert.ok(life >= h.hours(8760) && life <= h.hours(8760) + 1000, `lives for ${life} ms`);
  });

  it('can share a name, and never share an id, a client ID or a secret', async () => {
    const api = tokens();
    const [one, two] = await Promise.all([
      api.create({ account_id, name: 'twin' }),
      api.create({ account_id, name: 'twin' }),
    ]);

    assert.notEqual(one.id, two.id);
    assert.notEqual(one.client_id, two.client_id);
    assert.notEqual(one.client_secret, two.client_secret);
  });

  it('show a secret when they are created or rotated, and never again', async () => {
    const api = tokens();
    const { id } = await api.create({ account_id, name: 'deploy' });
    await api.rotate(id, { account_id });

    const replies = [
      await api.get(id, { account_id }),
      ...(await h.all(api.list({ account_id }))),
      await api.refresh(id, { account_id }),
      await api.update(id, { account_id, name: 'other' }),
      await api.update(id, { account_id, duration: '1h', enabled: false }),
      await api.delete(id, { account_id }),
    ];

    for (const reply of replies) assert.ok(!('client_secret' in reply), JSON.stringify(reply));
  });

  describe('of a zone', () => {
    it('can be created, read, changed and deleted through the zone', async () => {
      const api = tokens();
      const { client_secret, ...visible } = await api.create({ zone_id, name: 'edge' });
      h.assertMinted(client_secret, 'cfast');

      assert.deepEqual(await api.get(visible.id, { zone_id }), visible);
      assert.deepEqual(await h.all(api.list({ zone_id, name: 'edge' })), [visible]);
      const changed = await api.update(visible.id, { zone_id, name: 'edge 2', duration: '1h' });
      assert.equal(changed.name, 'edge 2');
      h.assertNear(changed.expires_at, (await hallpass.now()) + h.hours(1));
      assert.deepEqual(await api.delete(visible.id, { zone_id }), changed);
      await h.refusal(api.get(visible.id, { zone_id }), Cloudflare.NotFoundError, 404, 12135);
    });

    it('belong to the account too', async () => {
      const api = tokens();
      const { client_secret, ...visible } = await api.create({ zone_id, name: 'edge' });

      assert.deepEqual(await api.get(visible.id, { account_id }), visible);
      assert.deepEqual(await h.all(api.list({ account_id, name: 'edge' })), [visible]);
      const rotated = await api.rotate(visible.id, { account_id });
      assert.notEqual(rotated.client_secret, client_secret);
    });

    it('are not the ones that were made for the account alone', async () => {
      const api = tokens();
      const { id } = await api.create({ account_id, name: 'not of the zone' });

      await h.refusal(api.get(id, { zone_id }), Cloudflare.NotFoundError, 404, 12135);
      await h.refusal(api.delete(id, { zone_id }), Cloudflare.NotFoundError, 404, 12135);
      assert.deepEqual(await h.all(api.list({ zone_id, name: 'not of the zone' })), []);
      assert.equal((await api.get(id, { account_id })).name, 'not of the zone');
    });

    it('can be refreshed and rotated through the zone, as old clients do', async () => {
      const client = hallpass.withToken();
      const created = await tokens(client).create({ zone_id, name: 'edge', duration: '2h' });
      const route = `/zones/${zone_id}/access/service_tokens/${created.id}`;
      await hallpass.advance('1h');

      const { result: refreshed } = await client.post(`${route}/refresh`);
      h.assertNear(refreshed.expires_at, h.instant(created.expires_at) + h.hours(1));
      const { result: rotated } = await client.post(`${route}/rotate`);
      h.assertMinted(rotated.client_secret, 'cfast');
      assert.equal(rotated.client_secret_version, 2);
    });
  });

  describe('when updated', () => {
    it('stay as they are where nothing is said', async () => {
      const api = tokens();
      const before = await api.get(h.SERVICE_TOKEN, { account_id });
      await hallpass.advance('10m');

      assert.deepEqual(await api.update(h.SERVICE_TOKEN, { account_id }), before);
      assert.deepEqual(await api.get(h.SERVICE_TOKEN, { account_id }), before);
    });

    it('count a new duration from now', async () => {
      const api = tokens();
      const { id } = await api.create({ account_id, name: 'deploy', duration: '100h' });
      await hallpass.advance('10h');

      const changed = await api.update(id, { account_id, duration: '24h' });

      assert.equal(changed.duration, '24h');
      h.assertNear(changed.expires_at, (await hallpass.now()) + h.hours(24));
    });

    it('keep their expiry when the same duration is sent again', async () => {
      const api = tokens();
      const before = await api.create({ account_id, name: 'deploy', duration: '100h' });
      await hallpass.advance('10h');

      const after = await api.update(before.id, { account_id, duration: '100h', name: 'new' });

      assert.equal(after.name, 'new');
      assert.equal(after.expires_at, before.expires_at);
    });

    it('take every field in one request', async () => {
      const api = tokens();
      const before = await api.create({ account_id, name: 'deploy' });
      const grace = new Date((await hallpass.now()) + h.hours(48)).toISOString();

      const after = await api.update(before.id, {
        account_id,
        name: 'all at once',
        duration: '72h',
        enabled: false,
        client_secret_version: 2,
        previous_client_secret_expires_at: grace,
      });

      assert.equal(after.name, 'all at once');
      assert.equal(after.duration, '72h');
      assert.equal(after.enabled, false);
      assert.equal(after.client_secret_version, 2);
      assert.equal(h.instant(after.previous_client_secret_expires_at), h.instant(grace));
      assert.notEqual(after.client_secret, before.client_secret);
      h.assertNear(after.expires_at, (await hallpass.now()) + h.hours(72));
    });
  });

  describe('when disabled', () => {
    it('stay, with all they have, and can be enabled again', async () => {
      const api = tokens();
      const { client_secret, ...before } = await api.create({ account_id, name: 'deploy' });

      const disabled = await api.update(before.id, { account_id, enabled: false });
      assert.equal(disabled.enabled, false);
      assert.equal((await api.get(before.id, { account_id })).enabled, false);

      const enabled = await api.update(before.id, { account_id, enabled: true });
      assert.deepEqual({ ...enabled, updated_at: before.updated_at }, before);
    });

    it('are extended by a refresh and stay disabled', async () => {
      const api = tokens();
      const { id } = await api.create({
        account_id,
        name: 'deploy',
        duration: '2h',
        enabled: false,
      });
      await hallpass.advance('1h');

      const refreshed = await api.refresh(id, { account_id });

      assert.equal(refreshed.enabled, false);
      h.assertNear(refreshed.expires_at, (await hallpass.now()) + h.hours(2));
    });
  });

  describe('that last forever', () => {
    it('have an expiry all the same, on every reply', async () => {
      const api = tokens();
      const created = await api.create({ account_id, name: 'eternal', duration: 'forever' });
      const { id } = created;

      const replies = [
        created,
        await api.get(id, { account_id }),
        ...(await h.all(api.list({ account_id, name: 'eternal' }))),
        await api.refresh(id, { account_id }),
        await api.update(id, { account_id, name: 'still eternal' }),
        await api.rotate(id, { account_id }),
        await api.delete(id, { account_id }),
      ];

      assert.equal(replies.length, 7);
      for (const reply of replies) {
        assert.equal(reply.duration, 'forever');
        assert.equal(reply.expires_at, FOREVER);
      }
    });

    it('can get an end, and lose it again', async () => {
      const api = tokens();
      const { id } = await api.create({ account_id, name: 'eternal', duration: 'forever' });

      const mortal = await api.update(id, { account_id, duration: '8760h' });
      h.assertNear(mortal.expires_at, (await hallpass.now()) + h.hours(8760));
      const eternal = await api.update(id, { account_id, duration: 'forever' });
      assert.equal(eternal.expires_at, FOREVER);
    });
  });

  describe('have durations', () => {
    for (const [duration, milliseconds] of [
      ['300ms', 300],
      ['90s', 90_000],
      ['2h45m', h.hours(2.75)],
      ['1.5h', h.hours(1.5)],
      ['1h0m0s', h.hours(1)],
      ['8760h', h.hours(8760)],
    ]) {
      it(`such as ${duration}, echoed exactly as sent`, async () => {
        const before = await hallpass.now();
        const created = await tokens().create({ account_id, name: 'deploy', duration });
        const after = await hallpass.now();

        assert.equal(created.duration, duration);
        const expiry = h.instant(created.expires_at);
        assert.ok(expiry >= before + milliseconds, 'nobody gets less than what was promised');
        assert.ok(expiry <= after + milliseconds + 1000, 'nor more than a second on top');
        if (milliseconds % 1000 === 0) assert.match(created.expires_at, WHOLE_SECOND);
      });
    }
  });

  describe('when refreshed', () => {
    it('never end earlier', async () => {
      const api = tokens();
      const created = await api.create({ account_id, name: 'deploy' });

      const refreshed = await api.refresh(created.id, { account_id });

      assert.ok(h.instant(refreshed.expires_at) >= h.instant(created.expires_at));
    });

    it('come back to life after their end, with the same client ID', async () => {
      const api = tokens();
      const created = await api.create({ account_id, name: 'deploy', duration: '60m' });
      await hallpass.advance('8760h');
      const expired = await api.get(created.id, { account_id });
      assert.equal(expired.expires_at, created.expires_at);
      assert.ok(h.instant(expired.expires_at) < (await hallpass.now()));

      const refreshed = await api.refresh(created.id, { account_id });

      assert.ok(h.instant(refreshed.expires_at) > (await hallpass.now()));
      h.assertNear(refreshed.expires_at, (await hallpass.now()) + h.hours(1));
      assert.equal(refreshed.client_id, created.client_id);
      assert.equal(refreshed.client_secret_version, 1);
      assert.ok(!('client_secret' in refreshed));
      assert.equal(
        (await api.get(created.id, { account_id })).expires_at,
        refreshed.expires_at,
      );
    });

    it('count from the clock of the server, wherever a test has set it', async () => {
      await hallpass.setClock('2040-01-01T00:00:00Z');

      const refreshed = await tokens().refresh(h.SERVICE_TOKEN, { account_id });

      h.assertNear(refreshed.expires_at, '2040-01-01T01:00:00Z');
    });

    it('may be sent an empty body that calls itself JSON', async () => {
      const refreshed = await tokens().refresh(
        h.SERVICE_TOKEN,
        { account_id },
        { headers: { 'Content-Type': 'application/json' } },
      );

      assert.equal(refreshed.id, h.SERVICE_TOKEN);
    });
  });

  describe('are answered', () => {
    it('in compact JSON, without errors or messages', async () => {
      const api = tokens();
      const { id } = await api.create({ account_id, name: 'deploy' });

      for (const send of [
        () => api.create({ account_id, name: 'second' }),
        () => api.list({ account_id }),
        () => api.get(id, { account_id }),
        () => api.update(id, { account_id, name: 'other' }),
        () => api.refresh(id, { account_id }),
        () => api.rotate(id, { account_id }),
        () => api.delete(id, { account_id }),
      ]) {
        const response = await send().asResponse();
        const text = await response.text();
        const body = JSON.parse(text);
        assert.match(response.headers.get('content-type'), /^application\/json/);
        assert.equal(text, JSON.stringify(body));
        assert.equal(body.success, true);
        assert.deepEqual(body.errors, []);
        assert.deepEqual(body.messages, []);
      }
    });

    it('whatever unknown fields and parameters a client sends', async () => {
      const api = tokens();
      const created = await api.create({ account_id, name: 'deploy', colour: 'blue' });
      assert.ok(!('colour' in created));

      const [found] = await h.all(api.list({ account_id, name: 'deploy', colour: 'blue' }));
      assert.equal(found.id, created.id);
    });
  });
});
