// Reads {base, client, jwk, corrected, group} as JSON from standard input, asks the service with fhir-kit-client, and
// writes what its user saw as one JSON object. The token is got as SMART Backend Services says, with Node's own crypto.
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CapabilityTool, Client } from 'fhir-kit-client';

const given = JSON.parse(readFileSync(0, 'utf8'));
const client = new Client({ baseUrl: given.base });
const saw = {};

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

async function token() {
  const { tokenUrl } = await client.smartAuthMetadata();
  const now = Math.floor(Date.now() / 1000);
  const said = { iss: given.client, sub: given.client, aud: tokenUrl.href, exp: now + 240, jti: randomUUID() };
  const signed = `${encoded({ alg: 'ES384', kid: given.jwk.kid })}.${encoded(said)}`;
  const key = { key: createPrivateKey({ key: given.jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
  const signature = sign('sha384', Buffer.from(signed), key).toString('base64url');
  const answer = await fetch(tokenUrl, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: `${signed}.${signature}`,
      scope: 'system/*.rs',
    }),
  });
  return (await answer.json()).access_token;
}

async function pages(first) {
  const found = [];
  for (let page = first; page; page = await client.nextPage({ bundle: page })) found.push(page);
  return found;
}

const matches = (bundles) => bundles.flatMap((one) => one.entry ?? []).filter((one) => one.search.mode === 'match');
const ids = (bundles) => matches(bundles).map((one) => one.resource.id);

async function failure(asked) {
  try {
    await asked;
    return null;
  } catch (error) {
    const { status, data } = error.response;
    return { status, type: data.resourceType, text: data.issue?.[0]?.details?.text };
  }
}

const statement = await client.capabilityStatement();
const can = new CapabilityTool(statement);
saw.can = {
  software: statement.software.name,
  batch: can.serverCan('batch'),
  transaction: can.serverCan('transaction'),
  search: can.resourceCan('Observation', 'search-type'),
  create: can.resourceCan('Observation', 'create'),
  byDate: can.resourceSearch('Observation', 'date'),
  updated: can.resourceSearch('Patient', '_lastUpdated'),
};
client.bearerToken = await token();

saw.all = {};
for (const type of given.types) {
  saw.all[type] = ids(await pages(await client.search({ resourceType: type, searchParams: { _count: 40 } })));
}
const posted = await client.resourceSearch({
  resourceType: 'Observation',
  searchParams: { category: 'laboratory', _count: 40 },
  options: { postSearch: true },
});
const got = await client.search({ resourceType: 'Observation', searchParams: { category: 'laboratory', _count: 40 } });
saw.posted = ids(await pages(posted));
saw.got = ids(await pages(got));

const sorted = await client.search({ resourceType: 'Observation', searchParams: { _sort: '-date', _count: 1000 } });
saw.sorted = sorted.entry.map((one) => one.resource.effectiveDateTime);
const beside = await client.search({
  resourceType: 'Observation',
  searchParams: { _include: ['Observation:subject'], _id: given.corrected },
});
saw.beside = beside.entry.map((one) => [one.search.mode, one.resource.resourceType]);
const resolved = await client.resolve({ reference: beside.entry[0].resource.subject.reference, context: beside });
const fetched = await client.resolve({ reference: `${given.base}/${beside.entry[0].resource.subject.reference}` });
saw.resolved = [resolved.resourceType, resolved.id === fetched.id];

const read = await client.read({ resourceType: 'Observation', id: given.corrected });
saw.read = read.valueQuantity.value;
saw.etag = Client.httpFor(read).response.headers.get('etag');
const older = await client.vread({ resourceType: 'Observation', id: given.corrected, version: '1' });
saw.older = [older.meta.versionId, older.valueQuantity.value];
const again = await fetch(`${given.base}/Observation/${given.corrected}`, {
  headers: { authorization: Client.httpFor(read).request.headers.get('authorization'), 'if-none-match': saw.etag },
});
saw.again = again.status;
const history = await client.history({ resourceType: 'Observation', id: given.corrected });
saw.history = history.entry.map((one) => one.resource.meta.versionId);
saw.changed = (await pages(await client.history({ resourceType: 'Patient' }))).flatMap((one) => one.entry).length;

const urls = ['Patient?gender=male', `Observation/${given.corrected}`, 'Patient/nobody'];
const batch = await client.batch({
  body: { resourceType: 'Bundle', type: 'batch', entry: urls.map((url) => ({ request: { method: 'GET', url } })) },
});
saw.batch = batch.entry.map((one) => one.response.status.slice(0, 3));

const id = resolved.id;
for (const method of ['GET', 'POST']) {
  const everything = await client.operation({ name: 'everything', resourceType: 'Patient', id, method });
  saw[`everything by ${method}`] = matches(await pages(everything)).length;
}
const validated = await client.operation({ name: 'validate', resourceType: 'Patient', input: fetched });
saw.validated = validated.issue.map((one) => one.severity);

saw.failures = {
  nobody: await failure(client.read({ resourceType: 'Patient', id: 'nobody' })),
  write: await failure(client.create({ resourceType: 'Patient', body: { resourceType: 'Patient' } })),
  update: await failure(client.update({ resourceType: 'Patient', id, body: { ...fetched, gender: 'other' } })),
  remove: await failure(client.delete({ resourceType: 'Patient', id })),
  patch: await failure(client.patch({ resourceType: 'Patient', id, jsonPatch: [] })),
  value: await failure(client.search({ resourceType: 'Patient', searchParams: { birthdate: '2026-99' } })),
  type: await failure(client.search({ resourceType: 'Medication', searchParams: {} })),
};

const options = { headers: { prefer: 'respond-async' } };
const begun = await client.request(`Group/${given.group}/$export?_type=Patient`, { options });
const where = Client.httpFor(begun).response.headers.get('content-location');
saw.begun = [Client.httpFor(begun).response.status, where.startsWith(`${given.base}/`)];
let manifest;
for (;;) {
  manifest = await client.request(where, { options: { headers: { accept: 'application/json' } } });
  const { response } = Client.httpFor(manifest);
  if (response.status === 200) break;
  await new Promise((wake) => setTimeout(wake, 1000 * Number(response.headers.get('retry-after'))));
}
saw.exported = manifest.output.map((one) => [one.type, one.count]);
saw.removed = Client.httpFor(await client.request(where, { method: 'DELETE' })).response.status;
saw.gone = (await failure(client.request(where))).status;

process.stdout.write(JSON.stringify(saw));
