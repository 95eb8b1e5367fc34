// Hyperscan in block mode, for multibench. Reads patterns and payloads from
// files, then for each byte on stdin: 'r' runs a round and prints its CPU
// seconds, 'v' prints per payload how many patterns match and the sum of
// their mixed numbers.
#include <hs/hs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint32_t word(FILE *f)
{
	uint32_t v;
	if (fread(&v, 4, 1, f) != 1) {
		exit(2);
	}
	return v;
}

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

struct sum {
	uint32_t count, mixed;
};

static int hit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
	struct sum *s = context;
	s->count++;
	s->mixed += (id + 1) * 2654435761u;
	return 0;
}

int main(int argc, char **argv)
{
	FILE *f = fopen(argv[1], "rb");
	uint32_t n = word(f);
	const char **texts = malloc(n * sizeof *texts);
	unsigned *flags = malloc(n * sizeof *flags), *ids = malloc(n * sizeof *ids);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t fold = word(f), size = word(f);
		char *text = malloc(4 * size + 1);
		for (uint32_t k = 0; k < size; k++) {
			sprintf(text + 4 * k, "\\x%02x", fgetc(f));
		}
		texts[i] = text, ids[i] = i;
		flags[i] = HS_FLAG_SINGLEMATCH | (fold ? HS_FLAG_CASELESS : 0);
	}
	fclose(f);
	f = fopen(argv[2], "rb");
	uint32_t packets = word(f);
	char **data = malloc(packets * sizeof *data);
	uint32_t *sizes = malloc(packets * sizeof *sizes);
	for (uint32_t i = 0; i < packets; i++) {
		sizes[i] = word(f);
		data[i] = malloc(sizes[i]);
		if (fread(data[i], 1, sizes[i], f) != sizes[i]) {
			return 2;
		}
	}
	double start = cpu();
	hs_database_t *db;
	hs_compile_error_t *error;
	if (hs_compile_multi(texts, flags, ids, n, HS_MODE_BLOCK, NULL, &db, &error) != HS_SUCCESS) {
		fprintf(stderr, "compile: %s\n", error->message);
		return 1;
	}
	hs_scratch_t *scratch = NULL;
	size_t bytes = 0;
	char *info = "";
	hs_alloc_scratch(db, &scratch);
	hs_database_size(db, &bytes);
	hs_database_info(db, &info);
	printf("%f %zu %s\n", cpu() - start, bytes, info);
	fflush(stdout);
	for (int c; (c = getchar()) != EOF;) {
		struct sum total = {0};
		start = cpu();
		for (uint32_t i = 0; i < packets; i++) {
			struct sum s = {0};
			hs_scan(db, data[i], sizes[i], 0, scratch, hit, &s);
			total.count += s.count;
			if (c == 'v') {
				printf("%u %u\n", s.count, s.mixed);
			}
		}
		if (c == 'r') {
			printf("%f %u\n", cpu() - start, total.count);
		}
		fflush(stdout);
	}
	return 0;
}
