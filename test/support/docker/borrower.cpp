// An app that serves on the listener it is given (descriptor 3, sd_listen_fds(3)), for the tests of two copies beside each
// other. What it does is said by files beside it: VERSION is its answer; SAY goes to NOTIFY_SOCKET, so many times as TIMES
// says; with EXIT it ends at once with that status; with IGNORE_TERM only KILL ends it. /daemon and /orphan have it start
// what leaves its group and its session, or its parent, and /stray what leaves all of them.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static volatile sig_atomic_t ending;
static void on_term(int) { ending = 1; }
static volatile sig_atomic_t asked;
static void on_usr1(int) { asked = 1; }

static std::string tree;
static std::string beside(const char *name) {
  std::ifstream in(tree + "/" + name);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  text.erase(text.find_last_not_of("\n") + 1);
  return text;
}

static void say(const std::string &text, int times) {
  const char *where = getenv("NOTIFY_SOCKET");
  if (!where) return;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, where, sizeof address.sun_path - 1);
  int out = socket(AF_UNIX, SOCK_DGRAM, 0);
  for (int n = 0; n < times; n++) sendto(out, "STATUS=busy", 11, 0, (sockaddr *)&address, sizeof address);
  if (sendto(out, text.data(), text.size(), 0, (sockaddr *)&address, sizeof address) < 0) perror("notify");
  close(out);
}

int main() {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return 1;
  tree = std::string(self, strrchr(self, '/') - self);
  std::string version = beside("VERSION");
  fprintf(stderr, "%s started as %d\n", version.c_str(), getpid());
  if (beside("EXIT") != "") return atoi(beside("EXIT").c_str());
  struct sigaction action = {};
  action.sa_handler = on_term;
  if (beside("IGNORE_TERM") == "") sigaction(SIGTERM, &action, nullptr);
  else signal(SIGTERM, SIG_IGN);
  action.sa_handler = on_usr1;
  sigaction(SIGUSR1, &action, nullptr);
  signal(SIGCHLD, SIG_IGN);
  if (beside("SAY") != "") say(beside("SAY"), atoi(beside("TIMES").c_str()));
  printf("%s serves\n", version.c_str());
  fflush(stdout);
  while (!ending) {
    if (asked) fprintf(stderr, "%s was sent USR1\n", version.c_str());
    asked = 0;
    int client = accept(3, nullptr, nullptr);
    if (client < 0) continue;
    char request[4096] = {};
    if (read(client, request, sizeof request - 1) < 0) request[0] = 0;
    bool daemon = strstr(request, "GET /daemon") == request, orphan = strstr(request, "GET /orphan") == request;
    if (strstr(request, "GET /stray") == request) daemon = orphan = true;
    if ((daemon || orphan) && fork() == 0) {
      if (orphan && fork() != 0) _exit(0);
      if (daemon) setsid();
      close(client);
      close(3);
      signal(SIGTERM, SIG_DFL);
      for (;;) pause();
    }
    std::string body = version, answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    if (write(client, answer.data(), answer.size()) < 0) perror("write");
    close(client);
  }
  usleep(200000);
  fprintf(stderr, "%s ended\n", version.c_str());
}
