# The libraries of others that the engine is linked with.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LWS REQUIRED IMPORTED_TARGET libwebsockets>=4.1)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv>=1.42)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl>=3.0)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.37)
pkg_check_modules(MSGPACK REQUIRED IMPORTED_TARGET msgpack>=3.0)
pkg_check_modules(STROPHE REQUIRED IMPORTED_TARGET libstrophe>=0.10)
pkg_check_modules(GSASL REQUIRED IMPORTED_TARGET libgsasl>=1.10)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat>=2.4)
set(foreign PkgConfig::LWS PkgConfig::UV PkgConfig::OPENSSL PkgConfig::SQLITE
  PkgConfig::MSGPACK PkgConfig::STROPHE PkgConfig::GSASL PkgConfig::EXPAT resolv Threads::Threads)
