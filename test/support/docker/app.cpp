// An ordinary release binary for the container's tests: dynamically linked, C++, no dependencies. Answers over HTTP with the
// VERSION beside it; PORT, STOP_MS and IGNORE_TERM are its settings. It also tells what a test wants to know of its surroundings, and,
// where STOP_MS gives it something to do at the end, when it has done that: who was killed says nothing.
#include <arpa/inet.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;
static volatile sig_atomic_t ending, usr1, usr2, hup;

static void on_signal(int number) {
  if (number == SIGUSR1) usr1 = usr1 + 1;
  else if (number == SIGUSR2) usr2 = usr2 + 1;
  else if (number == SIGHUP) hup = hup + 1;
  else ending = number;
}

static std::string read_file(const std::string &path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

static std::string setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value && *value ? value : otherwise;
}

int main(int argc, char **argv) {
  struct sigaction inherited_int, inherited_quit, action = {};
  sigaction(SIGINT, nullptr, &inherited_int);
  sigaction(SIGQUIT, nullptr, &inherited_quit);
  action.sa_handler = on_signal;
  for (int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}) sigaction(number, &action, nullptr);
  if (setting("IGNORE_TERM", "") != "") signal(SIGTERM, SIG_IGN);

  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return 1;
  std::string tree(self, strrchr(self, '/') - self);
  std::string version = read_file(tree + "/VERSION");
  version.erase(version.find_last_not_of("\n") + 1);

  // HELD: it serves on the socket that it is given (sd_listen_fds(3)).
  bool held = setting("HELD", "") != "";
  int server = held ? 3 : socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(atoi(setting("PORT", "8080").c_str()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!held && (bind(server, (sockaddr *)&address, sizeof address) || listen(server, 128))) {
    std::cerr << "app " << version << ": the port is taken\n";
    return 98;
  }
  std::cout << "app " << version << " listening" << std::endl;
  // A hostile app: EXCHANGE="a b" has a child exchange the two names without end (RENAME_EXCHANGE is 2).
  if (std::string names = setting("EXCHANGE", ""); !names.empty() && fork() == 0) {
    std::string a = names.substr(0, names.find(' ')), b = names.substr(names.find(' ') + 1);
    for (;;) syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), 2);
  }
  // STOPS_TERMINAL: a child stops the terminal's output, again and again: that of standard error.
  if (setting("STOPS_TERMINAL", "") != "" && fork() == 0)
    for (;; usleep(100000)) tcflow(2, TCOOFF);

  while (!ending) {
    int client = accept(server, nullptr, nullptr);
    if (client < 0) continue;
    char request[4096] = {};
    if (read(client, request, sizeof request - 1) < 0) request[0] = 0;
    std::string target(request), body = version;
    target = target.substr(0, target.find(" HTTP/"));
    if (target == "GET /arguments") {
      body.clear();
      for (int i = 1; i < argc; i++) body += std::string(argv[i]) + '\n';
    } else if (target == "GET /environment") {
      body.clear();
      for (char **entry = environ; *entry; entry++) body += std::string(*entry) + '\n';
    } else if (target == "GET /process") {
      char here[4096] = {};
      if (!getcwd(here, sizeof here)) here[0] = 0;
      body = "uid=" + std::to_string(getuid()) + " gid=" + std::to_string(getgid()) + " usr1=" + std::to_string(usr1) + " usr2=" + std::to_string(usr2) +
             " hup=" + std::to_string(hup) + " ignores=" + ((inherited_int.sa_handler == SIG_IGN) ? "INT" : "") +
             ((inherited_quit.sa_handler == SIG_IGN) ? "QUIT" : "") + " cwd=" + here;
    } else if (target.rfind("GET /exit/", 0) == 0) {
      close(client);
      _exit(atoi(target.c_str() + 10));
    } else if (target.rfind("GET /read/", 0) == 0) {
      body = read_file(target.substr(9));
    }
    std::string answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    if (write(client, answer.data(), answer.size()) < 0) std::cerr << "app: a client went away\n";
    close(client);
  }
  close(server);
  if (int stop_ms = atoi(setting("STOP_MS", "0").c_str()); stop_ms > 0) {
    usleep(stop_ms * 1000);
    std::cout << "app " << version << " saved" << std::endl;
  }
  return 0;
}
