import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

async function stored(world, id) {
  return (await world.control('GET', '/sim/files')).files.find((file) => file.id === id);
}

// Major 0 reaches files with the beta header in the beta namespace and plainly besides it; major 1 the same.
const namespaces = (client) => [client.files, client.beta.files];

async function life(world) {
  for (const files of namespaces(world.client())) {
    const bytes = randomFillSync(Buffer.alloc(300_000));
    const file = await world.sdk.toFile(bytes, 'bytes.bin', { type: 'application/octet-stream' });
    const uploaded = await files.upload({ file });
    assert.equal(uploaded.filename, 'bytes.bin');
    assert.equal(uploaded.mime_type, 'application/octet-stream');
    assert.equal(uploaded.size_bytes, bytes.length);
    assert.equal((await stored(world, uploaded.id)).sha256, sha256(bytes));

    const metadata = await files.retrieveMetadata(uploaded.id);
    assert.deepEqual([metadata.id, metadata.size_bytes], [uploaded.id, bytes.length]);
    const content = await files.download(uploaded.id);
    assert.ok(bytes.equals(Buffer.from(await content.arrayBuffer())), 'the same bytes come back');
    const deleted = await files.delete(uploaded.id);
    assert.equal(deleted.id, uploaded.id);
    await assert.rejects(files.retrieveMetadata(uploaded.id), world.sdk.NotFoundError);
  }
  assert.ok((await world.asked()).every((row) => row.key_suffix === 'm-0001'));
}

async function list(world) {
  for (const files of namespaces(world.client())) {
    const made = [];
    for (let n = 0; n < 5; ++n)
      made.push(
        (await files.upload({ file: await world.sdk.toFile(Buffer.from(`${n}`), `${n}.txt`, { type: 'text/plain' }) }))
          .id,
      );
    const found = [];
    for await (const one of files.list({ limit: 2 })) found.push(one.id);
    assert.deepEqual(
      found.filter((id) => made.includes(id)),
      made.toReversed(),
    );
    for (const id of made) await files.delete(id);
  }
}

// A file on disk is sent as a stream of unknown length, in chunks.
async function from_disk(world) {
  const folder = mkdtempSync(path.join(tmpdir(), 'claude-proxy-sdk-'));
  try {
    const bytes = randomFillSync(Buffer.alloc(8 << 20));
    const name = path.join(folder, 'eight.bin');
    writeFileSync(name, bytes);
    const uploaded = await world
      .client()
      .beta.files.upload({ file: createReadStream(name), betas: ['files-api-2025-04-14'] });
    assert.equal(uploaded.size_bytes, bytes.length);
    assert.equal((await stored(world, uploaded.id)).sha256, sha256(bytes));
    const [row] = await world.asked();
    assert.match(row.headers['anthropic-beta'], /files-api-2025-04-14/);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function unicode_name(world) {
  const file = await world.sdk.toFile(Buffer.from('ü'), 'Zürich 東京.txt', { type: 'text/plain' });
  const uploaded = await world.client().files.upload({ file });
  assert.equal(uploaded.filename, 'Zürich 東京.txt');
  assert.equal(await (await world.client().files.download(uploaded.id)).text(), 'ü');
}

async function unknown(world) {
  await assert.rejects(world.client().files.download('file_nobody'), (error) => {
    assert.ok(error instanceof world.sdk.NotFoundError);
    assert.ok(error.requestID);
    return true;
  });
}

export const files = [
  ['upload, metadata, download, delete', life],
  ['list, page after page', list],
  ['8 MB from disk', from_disk],
  ['a name in unicode', unicode_name],
  ['an unknown file is 404', unknown],
];
