// BullMQ, for scripts/bench/queue_bench.py:  node bullmq.mjs MODE SOCKET JOBS [CONCURRENCY]
// single: one add in flight; bulk: addBulk; drain: no-op jobs; add and work: the two ends of the latency.
// Prints one JSON object. One process: its event loop, not Redis, is the limit, so that 100 jobs at once are as fast as
// any more of them; finished jobs are removed, which is faster than keeping them.
import { createRequire } from 'node:module';
import { open } from 'node:fs/promises';

const require = createRequire(process.env.BENCH_PEERS + '/');
const { Queue, Worker } = require('bullmq');

const [mode, path, count, concurrency] = process.argv.slice(2);
const jobs = Number(count);
const connection = { path, maxRetriesPerRequest: null };
const NAME = 'bench';
const CHUNK = 1000;
const PAUSE_MS = 5;

const now = () => process.hrtime.bigint();
const seconds = (start) => Number(now() - start) / 1e9;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
// About as many bytes as a spec of ours.
const data = (i) => ({ name: `train-${i}`, resources: { cpus: 1 },
	command: ['python3', 'train.py', '--seed', `${i}`, '--data', 'abcdefghijklmnop'.repeat(3)] });
const options = { removeOnComplete: true, removeOnFail: true };

// A first tenth is not counted: the interpreter compiles what is hot.
const warm = Math.floor(jobs / 10);

async function single(queue) {
	let start;
	for (let i = 0; i < jobs; i++) {
		if (i === warm)
			start = now();
		await queue.add('train', data(i), options);
	}
	return { rate: (jobs - warm) / seconds(start) };
}

async function bulk(queue) {
	let start, counted;
	for (let i = 0; i < jobs; i += CHUNK) {
		if (start === undefined && i >= warm)
			[start, counted] = [now(), jobs - i];
		const chunk = Array.from({ length: Math.min(CHUNK, jobs - i) },
			(_, k) => ({ name: 'train', data: data(i + k), opts: options }));
		await queue.addBulk(chunk);
	}
	return { rate: counted / seconds(start) };
}

async function drain() {
	let done = 0, start, finish;
	const finished = new Promise((resolve) => { finish = resolve; });
	const worker = new Worker(NAME, async () => {}, { connection, concurrency: Number(concurrency || 100), autorun: false,
		removeOnComplete: { count: 0 } });
	worker.on('completed', () => {
		if (++done === warm)
			start = now();
		if (done === jobs)
			finish();
	});
	worker.on('failed', (_, error) => { throw error; });
	await worker.waitUntilReady();
	worker.run();
	await finished;
	return { rate: (jobs - warm) / seconds(start) };
}

// The clock is CLOCK_MONOTONIC, the same in both processes.
async function add(queue) {
	for (let i = 0; i < jobs; i++) {
		await queue.add('train', { ...data(i), sent: `${now()}` }, options);
		await sleep(PAUSE_MS);
	}
	return {};
}

async function work() {
	const spans = [];
	let finish;
	const finished = new Promise((resolve) => { finish = resolve; });
	const worker = new Worker(NAME, async (job) => {
		spans.push(Number(now() - BigInt(job.data.sent)) / 1000);
		if (spans.length === jobs)
			finish();
	}, { connection, autorun: false, removeOnComplete: { count: 0 } });
	await worker.waitUntilReady();
	worker.run();
	await (await open(process.env.BENCH_READY, 'w')).close();
	await finished;
	return { spans_us: spans };
}

const queue = new Queue(NAME, { connection });
await queue.waitUntilReady();
const answer = await { single, bulk, drain, add, work }[mode](queue);
console.log(JSON.stringify(answer));
process.exit(0);
