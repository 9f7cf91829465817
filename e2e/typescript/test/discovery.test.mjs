// How a client finds the ids it needs: accounts, zones, memberships, the user.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import Cloudflare from 'cloudflare';

import * as h from '../support/hallpass.mjs';

describe('a client finds', () => {
  const hallpass = h.useHallpass();
  const ways = [
    ['an API token', () => hallpass.withToken()],
    ['an e-mail address and a global key', () => hallpass.withKey()],
  ];

  for (const [way, connect] of ways) {
    describe(`with ${way}`, () => {
      it('its accounts', async () => {
        const found = await h.all(connect().accounts.list());

        assert.deepEqual(found.map(({ id }) => id), [h.ACCOUNT]);
        assert.equal(typeof found[0].name, 'string');
        assert.equal(found[0].type, 'standard');
        assert.deepEqual(await connect().accounts.get({ account_id: h.ACCOUNT }), found[0]);
      });

      it('its zones, and the account of each', async () => {
        const found = await h.all(connect().zones.list());

        assert.deepEqual(found.map(({ id, name }) => [id, name]), [[h.ZONE, 'example.com']]);
        assert.equal(found[0].account.id, h.ACCOUNT);
        assert.deepEqual(await connect().zones.get({ zone_id: h.ZONE }), found[0]);
        const named = await h.all(connect().zones.list({ name: 'example.com' }));
        assert.deepEqual(named, found);
        assert.deepEqual(await h.all(connect().zones.list({ name: 'example.net' })), []);
      });

      it('its memberships', async () => {
        const found = await h.all(connect().memberships.list());

        assert.deepEqual(found.map(({ account }) => account.id), [h.ACCOUNT]);
        assert.equal(found[0].status, 'accepted');
      });

      it('its user', async () => {
        const user = await connect().user.get();

        assert.equal(user.email, h.EMAIL);
        assert.match(user.id, /^[0-9a-f]{32}$/);
      });

      it('where each list is, and an empty page behind it', async () => {
        const client = connect();
        for (const list of [
          (query) => client.accounts.list(query),
          (query) => client.zones.list(query),
          (query) => client.memberships.list(query),
        ]) {
          const first = await list({ page: 1 });
          assert.equal(first.result_info.page, 1);
          assert.equal(first.result_info.count, 1);
          assert.equal(first.result_info.total_count, 1);
          assert.equal(first.result_info.total_pages, 1);
          assert.deepEqual((await list({ page: 2 })).result, []);
        }
      });

      it('no account or zone of somebody else', async () => {
        const client = connect();
        for (const send of [
          () => client.accounts.get({ account_id: h.OTHER_ACCOUNT }),
          () => client.zones.get({ zone_id: h.OTHER_ACCOUNT }),
        ]) {
          await h.refusal(send(), Cloudflare.PermissionDeniedError, 403, 10000);
        }
      });
    });
  }
});
