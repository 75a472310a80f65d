/* worker/metric_lines: lines as real frameworks print them, and what must not be taken for a metric. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "worker/metric_lines.h"

struct row {
	const char *line;
	const char *expected; /* "step=… total=… epoch=… name=value …"; "": nothing */
};

static const struct row rows[] = {
	/* plain pairs */
	{ "step=7 loss=0.25", "step=7 loss=0.25" },
	{ "loss=0.5", "loss=0.5" },
	{ "loss = 0.5, acc = 0.75", "loss=0.5 acc=0.75" },
	{ "train/loss=1.5 eval/acc=0.5", "train/loss=1.5 eval/acc=0.5" },
	{ "loss=nan", "loss=nan" },
	{ "loss=NaN grad=inf other=-Infinity", "loss=nan grad=inf other=-inf" },
	{ "lr=1e-3 wd=1E+2 x=-.5 y=+3. z=4.", "lr=0.001 wd=100 x=-0.5 y=3 z=4" },
	{ "LOSS=1 Loss=2", "loss=2" },
	{ "acc=95%", "acc=95" },
	{ "[step=3] (loss=0.5)", "step=3 loss=0.5" },
	{ "global_step=12|loss=1", "step=12 loss=1" },
	{ "2026-11-22 09:40:07,123 - INFO - step=3 loss=0.5", "step=3 loss=0.5" },
	/* our own trainer, and what people write by hand */
	{ "step 200/2000   loss 2.713   12.4 steps/s   checkpoint 200 saved (1.1 MiB, 41 ms)",
	  "step=200 total=2000 loss=2.713" },
	{ "step 10: loss 2.5", "step=10 loss=2.5" },
	{ "iteration 40 | loss 1.25 | lr 3.0e-4", "step=40 loss=1.25 lr=0.0003" },
	{ "Step: 5, Loss: 0.5", "step=5 loss=0.5" },
	{ "step=5 steps=500 loss=0.5", "step=5 total=500 loss=0.5" },
	{ "{\"step\": 5, \"loss\": 0.5, \"total_steps\": 500, \"acc\": 1}", "step=5 total=500 loss=0.5 acc=1" },
	{ "step=5 max_steps=500", "step=5 total=500" },
	{ "step 5/10 steps=500", "step=5 total=10 steps=500" },
	{ "step=5 steps=4", "step=5 steps=4" },
	{ "step=5 steps=5.5 num_steps=nan", "step=5 steps=5.5 num_steps=nan" },
	{ "steps=500 lr=0.1", "steps=500 lr=0.1" },
	{ "iter 100: loss 3.5, time 120.5ms, mfu 3.5%", "step=100 loss=3.5" },
	{ "step 500: train loss 1.5, val loss 1.75", "step=500 loss=1.75" },
	{ "Epoch 3/10", "epoch=3" },
	{ "Epoch [3/10], Step [100/600], Loss: 0.2500", "step=100 total=600 epoch=3 loss=0.25" },
	{ "Train Epoch: 1 [6400/60000 (11%)]\tLoss: 1.5", "epoch=1 loss=1.5" },
	{ "Test set: Average loss: 0.0500, Accuracy: 9845/10000 (98%)", "loss=0.05" },
	{ "epoch 2 done, val_loss: 0.125.", "epoch=2 val_loss=0.125" },
	{ "perplexity: 20.5", "perplexity=20.5" },
	/* Hugging Face Trainer */
	{ "{'loss': 2.5, 'grad_norm': 1.25, 'learning_rate': 5e-05, 'epoch': 0.5}",
	  "epoch=0.5 loss=2.5 grad_norm=1.25 learning_rate=5e-05" },
	{ "{'loss': '2.5', 'learning_rate': '5e-05', 'epoch': '0.5'}", "epoch=0.5 loss=2.5 learning_rate=5e-05" },
	{ "{'eval_loss': nan, 'eval_runtime': 1.5, 'eval_samples_per_second': 666.5, 'epoch': 1.0}",
	  "epoch=1 eval_loss=nan eval_runtime=1.5 eval_samples_per_second=666.5" },
	{ "{'train_runtime': 12.5, 'train_loss': 0.5, 'epoch': 3}", "epoch=3 train_runtime=12.5 train_loss=0.5" },
	/* JSON */
	{ "{\"step\": 2, \"loss\": 2.25}", "step=2 loss=2.25" },
	{ "{\"step\":3,\"loss\":NaN,\"a\":Infinity,\"b\":-Infinity}", "step=3 loss=nan a=inf b=-inf" },
	{ "{\"level\":\"info\",\"ts\":1700000000.5,\"msg\":\"loss=9 step=4\",\"loss\":0.5}", "loss=0.5" },
	{ "{\"metrics\": {\"loss\": 0.5, \"ok\": true, \"none\": null}}", "loss=0.5" },
	{ "INFO:root:{\"loss\": 0.5}", "loss=0.5" },
	/* tqdm, Lightning, keras */
	{ " 12%|#2        | 120/1000 [00:10<01:12, 12.10it/s, loss=2.31]", "step=120 total=1000 loss=2.31" },
	{ " 12%|#2        | 120/1000 [00:10<01:12, 12.10it/s]", "" },
	{ "Epoch 3:  45%|####5     | 45/100 [00:10<00:12,  4.50it/s, v_num=0, train_loss=0.5]",
	  "epoch=3 train_loss=0.5" },
	{ "1875/1875 [==============================] - 5s 3ms/step - loss: 0.2912 - accuracy: 0.9155 - val_loss: 0.13",
	  "loss=0.2912 accuracy=0.9155 val_loss=0.13" },
	{ "\033[1m1875/1875\033[0m \033[32m----\033[0m 2s 1ms/step - accuracy: 0.5 - loss: 1.5",
	  "accuracy=0.5 loss=1.5" },
	{ "\033[32mstep=5\033[0m \033[1mloss=1\033[0m", "step=5 loss=1" },
	/* noise */
	{ "", "" },
	{ "hello world", "" },
	{ "GET http://example.org/x?a=1&b=2 200", "" },
	{ "see https://example.org:8080/path", "" },
	{ "/home/ada/run/x=1/loss=2", "" },
	{ "12:30:45 starting", "" },
	{ "ETA: 0:01:23", "" },
	{ "time: 12:30", "" },
	{ "version=1.2.3", "" },
	{ "date=2024-01-02", "" },
	{ "addr=10.0.0.1", "" },
	{ "size=5GB rate=1.5it/s", "" },
	{ "python train.py --lr=0.1 --steps=5", "" },
	{ "CUDA_VISIBLE_DEVICES=0", "" },
	{ "Listening on port: 8080", "" },
	{ "Linear(in_features=784, out_features=10, bias=True)", "" },
	{ "Namespace(lr=0.1, layers=(1, 2), seed=3) loss=0.5", "loss=0.5" },
	{ "error 404", "" },
	{ "epochs: many", "" },
	{ "loss=", "" },
	{ "=5", "" },
	{ "x==5 y!=6 z<=7", "" },
	{ "1=2", "" },
	{ "'unterminated: 5", "" },
	{ "nano=nanosecond", "" },
	{ "pid=77 rank=0 time=5", "" },
};

static void describe(const struct metric_point *point, struct buf *b)
{
	if (point->step >= 0)
		buf_printf(b, "step=%lld ", (long long)point->step);
	if (point->total >= 0)
		buf_printf(b, "total=%lld ", (long long)point->total);
	if (!isnan(point->epoch))
		buf_printf(b, "epoch=%g ", point->epoch);
	for (size_t i = 0; i < point->count; i++)
		buf_printf(b, "%s=%g ", point->values[i].name,
			   isnan(point->values[i].value) ? (double)NAN : point->values[i].value);
	if (b->len)
		b->data[--b->len] = '\0';
}

static void test_lines(void **state)
{
	int wrong = 0;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metric_point point;
		CLEANUP(buf) struct buf got;
		buf_init(&got, 8192);
		bool said = metric_lines_parse(rows[i].line, strlen(rows[i].line), &point);
		describe(&point, &got);
		if (strcmp(buf_text(&got), rows[i].expected) != 0 || said != (rows[i].expected[0] != '\0')) {
			print_error("%s\n  expected: %s\n  got:      %s\n", rows[i].line, rows[i].expected,
				    buf_text(&got));
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* Any prefix of any line is a line, too: nothing is read past its end (the sanitizers watch). */
static void test_every_prefix(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t len = 0; len <= strlen(rows[i].line); len++) {
			struct metric_point point;
			CLEANUP(free_p) char *exact = mem_alloc(len + 1);
			memcpy(exact, rows[i].line, len);
			CLEANUP(free_p) char *tight = malloc(len ? len : 1);
			memcpy(tight, exact, len);
			metric_lines_parse(tight, len, &point);
		}
	}
}

static void test_bounds(void **state)
{
	(void)state;
	struct metric_point point;
	CLEANUP(buf) struct buf many;
	buf_init(&many, 64 * 1024);
	for (int i = 0; i < 100; i++)
		buf_printf(&many, "v%d=%d ", i, i);
	assert_true(metric_lines_parse(buf_text(&many), many.len, &point));
	assert_int_equal(point.count, METRIC_VALUES_MAX);
	for (int i = 0; i < 3000; i++)
		buf_str(&many, "padding ");
	assert_false(metric_lines_parse(buf_text(&many), many.len, &point));
	char name[128];
	memset(name, 'n', sizeof name);
	assert_true(metric_point_add(&point, "v1", 2, 5)); /* known: replaced */
	point.count = 0;
	assert_true(metric_point_add(&point, name, METRIC_NAME_MAX, 1));
	assert_false(metric_point_add(&point, name, METRIC_NAME_MAX + 1, 1));
	assert_false(metric_point_add(&point, "1x", 2, 1));
	assert_false(metric_point_add(&point, "a b", 3, 1));
}

static void test_numbers(void **state)
{
	(void)state;
	double value;
	assert_true(metric_lines_number("-1.5e3", 6, &value) && value == -1500);
	assert_true(metric_lines_number("Infinity", 8, &value) && isinf(value));
	assert_false(metric_lines_number("1,5", 3, &value));
	assert_false(metric_lines_number("0x10", 4, &value));
	assert_false(metric_lines_number("", 0, &value));
	assert_false(metric_lines_number("-", 1, &value));
	assert_false(metric_lines_number("e5", 2, &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
