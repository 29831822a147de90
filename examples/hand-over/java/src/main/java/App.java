import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.Callback;

/**
 * A Java service on the held socket (UPDATE_LISTEN), by Jetty. Java takes a listener only as its
 * standard input: UPDATE_APP_COMMAND="java -cp app.jar:lib/* App 0<&3 3<&-"
 */
public class App {
  static volatile boolean draining;

  /** Java has no datagram sockets of Unix: another program says READY=1, where there is one. */
  static void ready() throws IOException {
    if (System.getenv("NOTIFY_SOCKET") == null) return;
    String say =
        "socket S, AF_UNIX, SOCK_DGRAM, 0; send S, 'READY=1', 0, sockaddr_un $ENV{NOTIFY_SOCKET}";
    new ProcessBuilder("perl", "-MSocket", "-e", say).start();
  }

  public static void main(String[] args) throws Exception {
    byte[] version = Files.readAllBytes(Path.of("VERSION"));
    Server server = new Server();
    ServerConnector connector = new ServerConnector(server);
    // System.inheritedChannel(); where there is none, the port.
    connector.setInheritChannel(true);
    connector.setPort(8080);
    server.addConnector(connector);
    server.setHandler(new Handler.Abstract() {
      @Override
      public boolean handle(Request request, Response response, Callback callback) {
        if (draining) response.getHeaders().put(HttpHeader.CONNECTION, "close");
        response.write(true, ByteBuffer.wrap(version), callback);
        return true;
      }
    });
    server.setStopTimeout(5000);
    server.start();
    ready();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        draining = true;
        // Our copy of the listener only: what comes from now on waits for the next version. What
        // was accepted is answered, and told not to come back here.
        connector.close();
        Thread.sleep(200);
        // Waits for the connections, each idle for a second at most. (GracefulHandler would answer
        // 503 to what is asked meanwhile.)
        server.stop();
      } catch (Exception e) {
        e.printStackTrace();
      }
    }));
    server.join();
  }
}
