# By Puma, which takes held sockets (UPDATE_LISTEN) by itself, where "bind" names their address.
version = File.read("VERSION")
run ->(_) { [200, { "content-type" => "text/plain" }, [version]] }
