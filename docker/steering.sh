# shellcheck shell=sh
# Variables that steer a program which is not theirs. Sourced by busybox' shell, which is linked
# statically: the loader has no say in it. src/cli/environment.ts has the same lists.

# What glibc takes away from set-user-ID programs, for the same reason (ld.so(8), "secure-execution
# mode"): each loads code or files into whatever is started with it. TMPDIR is not among them here:
# nothing of ours goes by it.
steers_loader() {
  case $1 in
    LD_* | GLIBC_TUNABLES | GCONV_PATH | GETCONF_DIR | LOCPATH | NLSPATH | MALLOC_* | TZDIR) ;;
    HOSTALIASES | LOCALDOMAIN | NIS_PATH | RESOLV_HOST_CONF | RES_OPTIONS) ;;
    *) return 1 ;;
  esac
}

# And what runtimes obey before a program's own code: options, modules and start files by way of the
# environment. Which mode an app runs in (NODE_ENV) is no such thing, and a further authority is a
# setting of ours.
steers_program() {
  case $1 in
    NODE_ENV | NODE_VERSION | NODE_EXTRA_CA_CERTS) return 1 ;;
    NODE_* | UV_* | ICU_* | OPENSSL_* | SSLKEYLOGFILE | ELECTRON_* | DENO_* | BUN_*) ;;
    BASH_ENV | BASH_FUNC_* | ENV | SHELLOPTS | BASHOPTS | CDPATH | IFS | PS4 | ZDOTDIR) ;;
    PYTHON* | RUBY* | GEM_* | BUNDLE_* | PERL* | PHPRC | PHP_INI_SCAN_DIR | LUA_*) ;;
    CLASSPATH | JAVA_TOOL_OPTIONS | _JAVA_OPTIONS | JDK_*OPTIONS | DOTNET_* | CORECLR_* | COR_* | COMPlus_*) ;;
    *) steers_loader "$1" ;;
  esac
}

# The C library opens the file that TZ names, and the app may have put a FIFO there: only a zone by
# its name reaches root (docker/self-update).
names_zone_file() {
  case $1 in TZ=:* | TZ=/* | TZ=*..* | TZ=*[!A-Za-z0-9_+/-]*) ;; *) return 1 ;; esac
}

drop_zone() {
  ! names_zone_file "TZ=${TZ-}" || unset TZ
}

# Takes away the variables of which the function $1 says so.
drop_variables() {
  while IFS= read -r -d '' steering; do
    steering=${steering%%=*}
    # A name that no shell can use is in this shell's environment no more.
    case $steering in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
    ! "$1" "$steering" || unset "$steering"
  done < /proc/self/environ
  unset steering
}
