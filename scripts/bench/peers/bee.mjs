// bee-queue, for scripts/bench/queue_bench.py:  node bee.mjs MODE SOCKET JOBS [CONCURRENCY]
// The modes are those of bullmq.mjs. Everything that it can do without is off: events, stored jobs, finished jobs.
import { createRequire } from 'node:module';
import { open } from 'node:fs/promises';

const require = createRequire(process.env.BENCH_PEERS + '/');
const Queue = require('bee-queue');

const [mode, path, count, concurrency] = process.argv.slice(2);
const jobs = Number(count);
const CHUNK = 1000;
const PAUSE_MS = 5;

const now = () => process.hrtime.bigint();
const seconds = (start) => Number(now() - start) / 1e9;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const data = (i) => ({ name: `train-${i}`, resources: { cpus: 1 },
	command: ['python3', 'train.py', '--seed', `${i}`, '--data', 'abcdefghijklmnop'.repeat(3)] });
const isWorker = mode === 'drain' || mode === 'work';
const queue = new Queue('bench', { redis: { path }, isWorker, getEvents: false, sendEvents: false, storeJobs: false,
	removeOnSuccess: true, removeOnFailure: true });

// A first tenth is not counted: the interpreter compiles what is hot.
const warm = Math.floor(jobs / 10);

async function single() {
	let start;
	for (let i = 0; i < jobs; i++) {
		if (i === warm)
			start = now();
		await queue.createJob(data(i)).save();
	}
	return { rate: (jobs - warm) / seconds(start) };
}

async function bulk() {
	let start, counted;
	for (let i = 0; i < jobs; i += CHUNK) {
		if (start === undefined && i >= warm)
			[start, counted] = [now(), jobs - i];
		const chunk = Array.from({ length: Math.min(CHUNK, jobs - i) }, (_, k) => queue.createJob(data(i + k)));
		const errors = await queue.saveAll(chunk);
		if (errors.size)
			throw errors.values().next().value;
	}
	return { rate: counted / seconds(start) };
}

// Counted when Redis has answered that the job is finished.
async function drain() {
	let done = 0, start, finish;
	const finished = new Promise((resolve) => { finish = resolve; });
	queue.on('succeeded', () => {
		if (++done === warm)
			start = now();
		if (done === jobs)
			finish();
	});
	queue.on('error', (error) => { throw error; });
	queue.process(Number(concurrency || 100), async () => {});
	await finished;
	return { rate: (jobs - warm) / seconds(start) };
}

async function add() {
	for (let i = 0; i < jobs; i++) {
		await queue.createJob({ ...data(i), sent: `${now()}` }).save();
		await sleep(PAUSE_MS);
	}
	return {};
}

async function work() {
	const spans = [];
	let finish;
	const finished = new Promise((resolve) => { finish = resolve; });
	queue.process(1, async (job) => {
		spans.push(Number(now() - BigInt(job.data.sent)) / 1000);
		if (spans.length === jobs)
			finish();
	});
	await (await open(process.env.BENCH_READY, 'w')).close();
	await finished;
	return { spans_us: spans };
}

await queue.ready();
const answer = await { single, bulk, drain, add, work }[mode]();
console.log(JSON.stringify(answer));
process.exit(0);
