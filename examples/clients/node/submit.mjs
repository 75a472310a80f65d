// node submit.mjs SPEC KEY: a job through ioredis alone. Prints its log, then how it ended.
import Redis from 'ioredis';

const fail = (error) => { console.error(error.message); process.exit(1); };
const redis = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1').on('error', fail);
const base = `stoker:{${process.env.STOKER_QUEUE ?? 'default'}}:`;
const [spec, key] = process.argv.slice(2);
const job = await redis.fcall('stoker_submit', 1, base + 'meta', spec, key).catch(fail);
const n = job.slice(job.lastIndexOf('-') + 1);
let last = '0', more = true, state, error;
while (more || ['waiting', 'queued', 'running'].includes(state)) {
	// The state is read before the log: once it is final, no line is still to come.
	[state, error] = await redis.hmget(`${base}job:${n}`, 'state', 'error').catch(fail);
	more = await redis.xread('COUNT', 100, 'BLOCK', 500, 'STREAMS', `${base}log:${n}`, last).catch(fail);
	for (const [id, [, , , text]] of more?.[0][1] ?? []) { // time_ms, its value, stdout, the text, …
		console.log(text);
		last = id;
	}
}
console.log(job, error ? `${state}: ${error}` : state);
process.exit(state === 'succeeded' ? 0 : 1);
