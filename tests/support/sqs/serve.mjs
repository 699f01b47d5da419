// One SQS-compatible server on this machine: node serve.mjs local-aws-sqs|fauxqs PORT
import module from 'node:module';

const [kind, port] = [process.argv[2], Number(process.argv[3])];
const hostname = '127.0.0.1';

// fauxqs imports node:sqlite for what it can keep on disk, which nobody asks it for here; Node 20 has no such module.
const without_sqlite = `
  export async function resolve(name, context, next) {
    if (name !== 'node:sqlite') return next(name, context);
    return { url: 'data:text/javascript,export class DatabaseSync {}', shortCircuit: true };
  }`;

if (kind === 'fauxqs') {
  if (!module.isBuiltin('node:sqlite')) module.register(`data:text/javascript,${encodeURIComponent(without_sqlite)}`);
  const { buildApp } = await import('fauxqs'); // its own command would listen on every address
  await buildApp({ logger: false }).listen({ port, host: hostname });
} else {
  const { createSqsServer } = await import('local-aws-sqs');
  await createSqsServer({ port, hostname, region: 'eu-west-1' });
}
