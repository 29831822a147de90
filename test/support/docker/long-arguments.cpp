// A hostile app: all of its memory, as many megabytes as its argument says, is its command line (prctl(2), PR_SET_MM_MAP), which everybody may read.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <linux/prctl.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int, char **argv) {
  size_t size = strtoul(argv[1], nullptr, 10) << 20;
  char *text = static_cast<char *>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memset(text, 'A', size - 1);
  char line[4096] = {};
  FILE *stat = fopen("/proc/self/stat", "r");
  if (fgets(line, sizeof line, stat) == nullptr) return 1;
  // By their numbers in proc_pid_stat(5).
  unsigned long long fields[53] = {};
  int number = 3;
  for (char *word = strtok(strrchr(line, ')') + 2, " "); word != nullptr && number < 53; word = strtok(nullptr, " ")) fields[number++] = strtoull(word, nullptr, 10);
  prctl_mm_map map = {};
  map.start_code = fields[26];
  map.end_code = fields[27];
  map.start_stack = fields[28];
  map.start_data = fields[45];
  map.end_data = fields[46];
  map.start_brk = fields[47];
  map.brk = reinterpret_cast<unsigned long>(sbrk(0));
  map.env_start = fields[50];
  map.env_end = fields[51];
  map.arg_start = reinterpret_cast<unsigned long>(text);
  map.arg_end = map.arg_start + size;
  map.exe_fd = -1;
  if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) != 0) return perror("prctl"), 1;
  puts("armed");
  fflush(stdout);
  for (;;) pause();
}
