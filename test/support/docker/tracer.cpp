// A hostile app's helper: has every new process of its user traced by itself (ptrace(2)), and never looks at its end. What is dead then stays
// a zombie that its own parent can't wait for. Says of which it was.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <set>
#include <string>
#include <sys/ptrace.h>
#include <unistd.h>

static std::string read_file(const std::string &path) {
  char text[256] = {};
  int file = open(path.c_str(), O_RDONLY);
  if (file < 0) return "";
  if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
  close(file);
  return text;
}

// The number that was given away last is the last word of /proc/loadavg.
static int newest() {
  std::string load = read_file("/proc/loadavg");
  return atoi(load.c_str() + load.rfind(' ') + 1);
}

int main() {
  if (fork() != 0) return 0;
  setsid();
  for (int number : {SIGTERM, SIGHUP, SIGINT}) signal(number, SIG_IGN);
  std::set<int> seen;
  // Before the app's own are there it takes none: those may be waited for by whom it likes.
  usleep(1000 * 1000);
  int first = newest() + 1;
  printf("tracer armed\n");
  fflush(stdout);
  for (;;) {
    int last = newest();
    for (int pid = last - 50 < first ? first : last - 50; pid <= last + 2; pid++) {
      // Stopped for the moment: many live for less time than it takes to look at them.
      if (pid == getpid() || seen.count(pid) != 0 || kill(pid, SIGSTOP) != 0) continue;
      std::string name = read_file("/proc/" + std::to_string(pid) + "/comm");
      bool own = name == "app\n" || name == "sleep\n";
      if (own || ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) seen.insert(pid);
      kill(pid, SIGCONT);
      if (own || seen.count(pid) == 0) continue;
      printf("traced: %s", name.c_str());
      fflush(stdout);
    }
  }
}
