// The same tests for every SDK: a topic is a list of [name, async (world) => …].
import { after, before, beforeEach, describe, test } from 'node:test';
import { time_scale } from './processes.mjs';
import { open_world } from './world.mjs';
import { batches } from '../topics/batches.mjs';
import { errors } from '../topics/errors.mjs';
import { files } from '../topics/files.mjs';
import { jobs } from '../topics/jobs.mjs';
import { messages } from '../topics/messages.mjs';
import { models } from '../topics/models.mjs';
import { requests } from '../topics/requests.mjs';
import { retries } from '../topics/retries.mjs';
import { streams } from '../topics/streams.mjs';
import { trouble } from '../topics/trouble.mjs';

export function run_all(name, sdk) {
  describe(name, { timeout: 240_000 * time_scale }, () => {
    let world;
    before(async () => {
      world = await open_world(sdk);
    });
    beforeEach(() => world.begin());
    for (const [topic, tests] of Object.entries({
      messages,
      streams,
      models,
      batches,
      files,
      jobs,
      requests,
      errors,
      retries,
      trouble,
    })) {
      for (const [what, check] of tests)
        test(`${topic}: ${what}`, { timeout: 60_000 * time_scale }, () => check(world));
    }
    after(() => world?.close());
  });
}
