// API tokens: their life, what they may do, and what nobody may give away.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import Cloudflare from 'cloudflare';

import * as h from '../support/hallpass.mjs';

const account_id = h.ACCOUNT;
const ACCOUNT_RESOURCE = `com.cloudflare.api.account.${h.ACCOUNT}`;
const ZONE_RESOURCE = `com.cloudflare.api.account.zone.${h.ZONE}`;

const allow = (groups, resources = { [ACCOUNT_RESOURCE]: '*' }) => ({
  effect: 'allow',
  permission_groups: groups.map((id) => ({ id })),
  resources,
});
const deny = (groups) => ({ ...allow(groups), effect: 'deny' });

describe('API tokens', () => {
  const hallpass = h.useHallpass();
  const list = (value) =>
    hallpass.withToken(value).zeroTrust.access.serviceTokens.list({ account_id });
  const works = async (value) => assert.equal((await list(value)).result.length, 1);
  const refused = (value) =>
    h.refusal(list(value), Cloudflare.PermissionDeniedError, 403, 9109);

  // The same life, owned by a user and owned by an account.
  const owners = [
    [
      'a user',
      'cfut',
      (client) => ({
        create: (body) => client.user.tokens.create(body),
        get: (id) => client.user.tokens.get(id),
        list: (query) => client.user.tokens.list(query),
        update: (id, body) => client.user.tokens.update(id, body),
        delete: (id) => client.user.tokens.delete(id),
        roll: (id) => client.user.tokens.value.update(id),
        verify: () => client.user.tokens.verify(),
      }),
    ],
    [
      'an account',
      'cfat',
      (client) => ({
        create: (body) => client.accounts.tokens.create({ account_id, ...body }),
        get: (id) => client.accounts.tokens.get(id, { account_id }),
        list: (query) => client.accounts.tokens.list({ account_id, ...query }),
        update: (id, body) => client.accounts.tokens.update(id, { account_id, ...body }),
        delete: (id) => client.accounts.tokens.delete(id, { account_id }),
        roll: (id) => client.accounts.tokens.value.update(id, { account_id }),
        verify: () => client.accounts.tokens.verify({ account_id }),
      }),
    ],
  ];

  for (const [owner, prefix, of] of owners) {
    describe(`of ${owner}`, () => {
      const api = () => of(hallpass.withKey());
      const reader = { name: 'reader', policies: [allow([h.SERVICE_TOKENS_READ])] };

      it('are born with a value, and show it only then', async () => {
        const { value, ...created } = await api().create(reader);

        h.assertMinted(value, prefix);
        assert.match(created.id, /^[0-9a-f]{32}$/);
        assert.equal(created.name, 'reader');
        assert.equal(created.status, 'active');
        h.assertNear(created.issued_on, await hallpass.now());
        assert.equal(created.modified_on, created.issued_on);
        for (const unset of ['condition', 'not_before', 'expires_on', 'last_used_on']) {
          assert.ok(!(unset in created), unset);
        }
        const [policy] = created.policies;
        assert.match(policy.id, /^[0-9a-f]{32}$/);
        assert.equal(policy.effect, 'allow');
        assert.deepEqual(policy.resources, { [ACCOUNT_RESOURCE]: '*' });
        assert.equal(policy.permission_groups[0].id, h.SERVICE_TOKENS_READ);
        assert.equal(policy.permission_groups[0].name, 'Access: Service Tokens Read');

        assert.deepEqual(await api().get(created.id), created);
        const listed = await h.all(api().list());
        assert.deepEqual(
          listed.find(({ id }) => id === created.id),
          created,
        );
        for (const token of listed) assert.ok(!('value' in token));
        await works(value);
      });

      it('verify themselves', async () => {
        const expires_on = '2099-01-01T00:00:00Z';
        const { id, value } = await api().create({ ...reader, expires_on });

        const response = await of(hallpass.withToken(value)).verify().asResponse();
        const body = await response.json();

        assert.equal(body.success, true);
        assert.deepEqual(body.result, { id, status: 'active', expires_on });
        assert.equal(body.messages[0].code, 10000);
        assert.equal(body.messages[0].message, 'This API Token is valid and active');
      });

      it('can be changed, and lose what a change does not name', async () => {
        const condition = { request_ip: { in: ['127.0.0.0/8'] } };
        const { id, value } = await api().create({ ...reader, condition });

        const changed = await api().update(id, {
          name: 'writer',
          policies: [allow([h.SERVICE_TOKENS_READ, h.SERVICE_TOKENS_WRITE])],
        });

        assert.equal(changed.name, 'writer');
        assert.equal(changed.status, 'active');
        assert.ok(!('condition' in changed));
        assert.ok(!('value' in changed));
        assert.deepEqual(await api().get(id), changed);
        const services = hallpass.withToken(value).zeroTrust.access.serviceTokens;
        const made = await services.create({ account_id, name: 'deploy' });
        assert.equal(made.name, 'deploy');
      });

      it('are refused while disabled, and stay so until a change says otherwise', async () => {
        const { id, value } = await api().create(reader);

        assert.equal((await api().update(id, { ...reader, status: 'disabled' })).status, 'disabled');
        await refused(value);
        await h.refusal(
          of(hallpass.withToken(value)).verify(),
          Cloudflare.AuthenticationError,
          401,
          1000,
        );

        assert.equal((await api().update(id, { ...reader, name: 'x' })).status, 'disabled');
        await refused(value);

        assert.equal((await api().update(id, { ...reader, status: 'active' })).status, 'active');
        await works(value);
      });

      it('get a new value when rolled, and the old one is dead', async () => {
        const { id, value } = await api().create(reader);

        const rolled = await api().roll(id);

        assert.equal(typeof rolled, 'string');
        h.assertMinted(rolled, prefix);
        assert.notEqual(rolled, value);
        await works(rolled);
        await refused(value);
        assert.equal((await api().get(id)).name, 'reader');
      });

      it('are gone when deleted', async () => {
        const { id, value } = await api().create(reader);

        assert.deepEqual(await api().delete(id), { id });

        await refused(value);
        const error = await api().get(id).then(assert.fail, (reason) => reason);
        assert.ok([400, 403, 404].includes(error.status), error.message);
        assert.ok(!(await h.all(api().list())).some((token) => token.id === id));
      });

      it('are listed page by page', async () => {
        const made = [];
        for (const name of ['one', 'two', 'three', 'four']) {
          made.push((await api().create({ ...reader, name })).id);
        }
        const before = (await api().list()).result_info.total_count;
        const { requests, fetch } = h.recorder();

        const found = await h.all(of(hallpass.withKey({ fetch })).list({ per_page: 2 }));

        assert.equal(found.length, before);
        assert.equal(new Set(found.map(({ id }) => id)).size, before);
        for (const id of made) assert.ok(found.some((token) => token.id === id));
        assert.equal(requests.length, Math.ceil(before / 2) + 1);
      });

      it('end when their time is over', async () => {
        const expires_on = new Date((await hallpass.now()) + h.hours(1))
          .toISOString()
          .replace(/\.\d+Z$/, 'Z');
        const { id, value, ...created } = await api().create({ ...reader, expires_on });
        assert.equal(created.expires_on, expires_on);
        await works(value);

        await hallpass.advance('2h');

        await refused(value);
        await h.refusal(
          of(hallpass.withToken(value)).verify(),
          Cloudflare.AuthenticationError,
          401,
          1000,
        );
        const expired = await api().get(id);
        assert.equal(expired.status, 'expired');
        assert.equal(expired.expires_on, expires_on);
      });

      it('have their times answered in the text that was sent', async () => {
        const not_before = '2020-01-01T00:00:00.500+02:00';
        const expires_on = '2099-01-01T00:00:00.000Z';

        const created = await api().create({ ...reader, not_before, expires_on });

        for (const reply of [created, await api().get(created.id)]) {
          assert.equal(reply.not_before, not_before);
          assert.equal(reply.expires_on, expires_on);
        }
      });

      it('do not work before their time', async () => {
        const not_before = new Date((await hallpass.now()) + h.hours(1))
          .toISOString()
          .replace(/\.\d+Z$/, 'Z');
        const { value, ...created } = await api().create({ ...reader, not_before });
        assert.equal(created.not_before, not_before);
        await refused(value);

        await hallpass.advance('2h');

        await works(value);
      });

      it('work only from the addresses of their condition', async () => {
        const make = async (request_ip) => {
          const created = await api().create({ ...reader, condition: { request_ip } });
          assert.deepEqual(created.condition, { request_ip }, 'echoed as sent');
          return created.value;
        };

        await works(await make({ in: ['127.0.0.0/8', '::1/128'] }));
        await works(await make({ not_in: ['192.0.2.0/24'] }));
        await works(await make({ in: ['127.0.0.99/8'] }));
        await refused(await make({ in: ['192.0.2.0/24'] }));
        await refused(await make({ not_in: ['127.0.0.1/32'] }));
        await refused(await make({ in: ['127.0.0.0/8'], not_in: ['127.0.0.100/24'] }));
      });

      it('have their condition answered under the older name if it was sent so', async () => {
        const condition = { 'request.ip': { in: ['192.0.2.0/24'] } };

        const { value, ...created } = await api().create({ ...reader, condition });

        assert.deepEqual(created.condition, condition);
        await refused(value);
      });
    });
  }

  describe('of an account', () => {
    it('that the owner of a global key made can do all that service tokens need', async () => {
      const { value } = await hallpass.withKey().accounts.tokens.create({
        account_id,
        name: 'deployment',
        policies: [allow([h.SERVICE_TOKENS_READ, h.SERVICE_TOKENS_WRITE])],
      });
      const api = hallpass.withToken(value).zeroTrust.access.serviceTokens;

      const created = await api.create({ account_id, name: 'deploy' });
      const rotated = await api.rotate(created.id, { account_id });
      assert.notEqual(rotated.client_secret, created.client_secret);
      const refreshed = await api.refresh(h.SERVICE_TOKEN, { account_id });
      assert.equal(refreshed.id, h.SERVICE_TOKEN);
      await api.delete(created.id, { account_id });
      assert.deepEqual(
        (await h.all(api.list({ account_id }))).map(({ id }) => id),
        [h.SERVICE_TOKEN],
      );
    });

    it('are nobody’s: they do not verify as a user’s, and have no user', async () => {
      const { value } = await hallpass.withKey().accounts.tokens.create({
        account_id,
        name: 'deployment',
        policies: [allow([h.SERVICE_TOKENS_READ])],
      });
      const client = hallpass.withToken(value);

      await h.refusal(client.user.tokens.verify(), Cloudflare.AuthenticationError, 401, 1000);
      for (const send of [() => client.user.get(), () => client.memberships.list()]) {
        await h.refusal(send(), Cloudflare.PermissionDeniedError, 403, 10000);
      }
    });
  });

  describe('give no more than what their policies say', () => {
    const make = async (...policies) => {
      const { value } = await hallpass
        .withKey()
        .accounts.tokens.create({ account_id, name: 'limited', policies });
      return hallpass.withToken(value);
    };
    const forbidden = (promise) =>
      h.refusal(promise, Cloudflare.PermissionDeniedError, 403, 10000);

    it('when a policy denies what another allows', async () => {
      const client = await make(
        allow([h.SERVICE_TOKENS_READ, h.SERVICE_TOKENS_WRITE]),
        deny([h.SERVICE_TOKENS_WRITE]),
      );
      const api = client.zeroTrust.access.serviceTokens;

      assert.equal((await api.list({ account_id })).result.length, 1);
      await forbidden(api.refresh(h.SERVICE_TOKEN, { account_id }));
    });

    it('when they stand for the service tokens only', async () => {
      const client = hallpass.withToken();

      await forbidden(client.accounts.tokens.list({ account_id }));
      await forbidden(client.user.tokens.list());
      await forbidden(
        client.user.tokens.create({
          name: 'another',
          policies: [allow([h.SERVICE_TOKENS_READ])],
        }),
      );
    });

    it('when they may make tokens: never with a permission that they do not hold', async () => {
      const maker = await make(
        allow([h.ACCOUNT_API_TOKENS_READ, h.ACCOUNT_API_TOKENS_WRITE, h.SERVICE_TOKENS_READ]),
      );
      const create = (...policies) =>
        maker.accounts.tokens.create({ account_id, name: 'child', policies });

      const child = await create(allow([h.SERVICE_TOKENS_READ]));
      await works(child.value);

      await forbidden(create(allow([h.SERVICE_TOKENS_WRITE])));
      await forbidden(create(allow([h.SERVICE_TOKENS_READ]), allow([h.SERVICE_TOKENS_WRITE])));
      await forbidden(
        create(
          allow([h.SERVICE_TOKENS_READ], {
            [`com.cloudflare.api.account.${h.OTHER_ACCOUNT}`]: '*',
          }),
        ),
      );
      await forbidden(
        maker.accounts.tokens.update(child.id, {
          account_id,
          name: 'child',
          policies: [allow([h.SERVICE_TOKENS_WRITE])],
        }),
      );
      const names = (await h.all(maker.accounts.tokens.list({ account_id }))).map((t) => t.name);
      assert.deepEqual(names.sort(), ['child', 'limited']);
    });
  });

  describe('keep their policies', () => {
    const create = (policies) =>
      hallpass.withKey().accounts.tokens.create({ account_id, name: 'policies', policies });

    it('in order when only the resources differ', async () => {
      const policies = [
        allow([h.DNS_READ], { [ZONE_RESOURCE]: '*' }),
        allow([h.DNS_READ], { [ACCOUNT_RESOURCE]: '*' }),
      ];

      const created = await create(policies);

      assert.deepEqual(
        created.policies.map(({ resources }) => resources),
        policies.map(({ resources }) => resources),
      );
    });

    it('with nested resources nested, and the names of resources sorted', async () => {
      const nested = { [ACCOUNT_RESOURCE]: { 'com.cloudflare.api.account.zone.*': '*' } };
      const two = { [ZONE_RESOURCE]: '*', [ACCOUNT_RESOURCE]: '*' };

      const response = await create([allow([h.DNS_READ], nested), allow([h.DNS_READ], two)])
        .asResponse();
      const text = await response.text();

      assert.equal(response.status, 200);
      assert.ok(text.includes(`"resources":${JSON.stringify(nested)}`), text);
      const sorted = { [ACCOUNT_RESOURCE]: '*', [ZONE_RESOURCE]: '*' };
      assert.ok(text.includes(`"resources":${JSON.stringify(sorted)}`), text);
      assert.equal(text, JSON.stringify(JSON.parse(text)), 'compact');
    });

    it('also over all zones of a user', async () => {
      const resources = { 'com.cloudflare.api.account.zone.*': '*' };

      const created = await hallpass
        .withKey()
        .user.tokens.create({ name: 'zones', policies: [allow([h.DNS_READ], resources)] });

      assert.deepEqual(created.policies[0].resources, resources);
    });
  });

  describe('are made of permission groups', () => {
    const client = () => hallpass.withKey();
    const sources = [
      ['a user', (query) => h.all(client().user.tokens.permissionGroups.list(query))],
      [
        'an account',
        (query) => h.all(client().accounts.tokens.permissionGroups.list({ account_id, ...query })),
      ],
      [
        'an account, in one piece',
        (query) => client().accounts.tokens.permissionGroups.get({ account_id, ...query }),
      ],
    ];
    for (const [owner, groups] of sources) {
      it(`which ${owner} can list, and find by name and by scope`, async () => {
        const every = await groups({});
        const byId = new Map(every.map((group) => [group.id, group]));
        assert.equal(byId.size, every.length, 'every id once');
        assert.deepEqual(
          { ...byId.get(h.SERVICE_TOKENS_WRITE) },
          {
            id: h.SERVICE_TOKENS_WRITE,
            name: 'Access: Service Tokens Write',
            scopes: ['com.cloudflare.api.account'],
          },
        );
        assert.equal(byId.get(h.SERVICE_TOKENS_READ).name, 'Access: Service Tokens Read');
        assert.equal(byId.get(h.DNS_READ).name, 'DNS Read');

        const named = await groups({ name: 'Access: Service Tokens Write' });
        assert.equal(named[0].id, h.SERVICE_TOKENS_WRITE);
        const twins = await groups({ name: 'Access: Apps and Policies Read' });
        assert.deepEqual(
          twins
            .filter(({ name }) => name === 'Access: Apps and Policies Read')
            .map(({ id }) => id)
            .sort(),
          ['7ea222f6d5064cfa89ea366d7c1fee89', 'eb258a38ea634c86a0c89da6b27cb6b6'],
        );
        assert.deepEqual(await groups({ name: 'No Such Thing Write' }), []);

        const zoned = await groups({ scope: 'com.cloudflare.api.account.zone' });
        assert.ok(zoned.some(({ id }) => id === h.DNS_READ));
        for (const { scopes } of zoned) {
          assert.ok(scopes.includes('com.cloudflare.api.account.zone'));
        }
      });
    }

    it('many of which open nothing here, and can be asked for all the same', async () => {
      const account = 'com.cloudflare.api.account';
      const zone = 'com.cloudflare.api.account.zone';
      const known = [
        ['DNS Read', zone],
        ['DNS Write', zone],
        ['Zone Read', zone],
        ['Zone Write', zone],
        ['Disable ESC Read', zone],
        ['Zone Security Center Insights Read', zone],
        ['Account Settings Read', account],
        ['Account Settings Write', account],
      ];
      const groups = [];
      for (const [name, scope] of known) {
        const query = { account_id, name, scope };
        const [found] = await client().accounts.tokens.permissionGroups.get(query);
        assert.deepEqual([found.name, found.scopes], [name, [scope]]);
        groups.push(found.id);
      }

      const created = await client().user.tokens.create({
        name: 'nothing to do with Access',
        policies: [allow(groups)],
      });

      assert.deepEqual(
        created.policies[0].permission_groups.map(({ name }) => name).sort(),
        known.map(([name]) => name).sort(),
      );
      await h.refusal(list(created.value), Cloudflare.PermissionDeniedError, 403, 10000);
    });
  });
});
