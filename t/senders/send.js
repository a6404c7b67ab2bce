// CloudEvents by the official JavaScript SDK.
//
//   send.js PACKAGES cloudevents URL      `mode id status`: each event in binary and in structured mode, and a batch of all
//   send.js PACKAGES read < RECORDS       what the SDK makes of records of Kafka, a line of JSON each
const [, , packages, what, url] = process.argv;
const { CloudEvent, HTTP, Kafka } = require(`${packages}/node_modules/cloudevents`);

const events = {
  json: { data: { a: [1, 'é'] }, comexampleextension: 5 },
  text: { datacontenttype: 'text/plain', data: 'a text', subject: 'a subject' },
  bytes: { datacontenttype: 'application/octet-stream', data: new Uint8Array([0, 255, 1]), partitionkey: 'p1' },
  nothing: {},
};
const made = (id, more) => new CloudEvent({ id, source: '/javascript', type: 'com.example.test', ...more });

async function send(mode, id, { headers, body }) {
  const answer = await fetch(url, { method: 'POST', headers, body });
  console.log(mode, id, answer.status, await answer.text());
}

async function cloudevents() {
  for (const [name, more] of Object.entries(events)) {
    for (const mode of ['binary', 'structured']) {
      const id = `js-${mode}-${name}`;
      await send(mode, id, HTTP[mode](made(id, more)));
    }
  }
  const batch = Object.entries(events).map(([name, more]) => JSON.parse(HTTP.structured(made(`js-batch-${name}`, more)).body));
  const headers = { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' };
  await send('batch', 'js-batch', { headers, body: JSON.stringify(batch) });
}

async function read() {
  let text = '';
  for await (const piece of process.stdin) text += piece;
  const decoded = (value) => Buffer.from(value, 'base64');
  for (const line of text.trim().split('\n')) {
    const record = JSON.parse(line);
    const headers = Object.fromEntries(Object.entries(record.headers).map(([name, value]) => [name, decoded(value).toString()]));
    const { data, ...attributes } = Kafka.toEvent({ headers, key: record.key, value: decoded(record.value), body: decoded(record.value) });
    const shown = data instanceof Uint8Array || data?.buffer ? { base64: Buffer.from(data).toString('base64') } : data ?? null;
    console.log(JSON.stringify([attributes, shown]));
  }
}

({ cloudevents, read })[what]();
