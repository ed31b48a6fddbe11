<?php
/**
 * A Redis server for a measurement.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/processes.php';

/** One server with a port, another port with TLS, and a proxy before each that makes it a network away. */
final class RedisServer {
    private ?Process $server = null;

    private int $port;
    private int $tlsPort;

    /** @var Process[] */
    private array $proxies = [];

    /** Where it is asked: host:port. */
    public readonly string $far;

    /** The same with TLS. */
    public readonly string $farTls;

    /** The file with the authority that signed its certificate. */
    public readonly string $authority;

    /**
     * @param string $directory For its files.
     * @param string $delay The program that delays answers.
     * @param int $microseconds By so much.
     */
    public function __construct(private string $directory, string $delay, int $microseconds) {
        mkdir($directory, 0700);
        $this->authority = "{$directory}/ca.pem";
        $this->certify();
        [$this->port, $this->tlsPort] = [free_port(), free_port()];
        $this->start();
        foreach ([$this->port, $this->tlsPort] as $port) {
            $proxy = $this->proxies[] = new Process([$delay, (string)$port, (string)$microseconds], true);
            $ports[] = trim((string)fgets($proxy->pipes[1]));
        }
        $this->far = "127.0.0.1:{$ports[0]}";
        $this->farTls = "127.0.0.1:{$ports[1]}";
    }

    /** Starts it with nothing. */
    public function start(): void {
        $this->server = new Process(['redis-server', '--bind', '127.0.0.1', '--port', (string)$this->port,
            '--tls-port', (string)$this->tlsPort, '--tls-cert-file', "{$this->directory}/server.pem", '--tls-key-file', "{$this->directory}/server.key",
            '--tls-ca-cert-file', $this->authority, '--tls-auth-clients', 'no', '--save', '', '--dir', $this->directory]);
        wait_for_port($this->port);
    }

    public function kill(): void {
        $this->server->kill();
        $this->server = null;
    }

    /** @return array{server: float, requests: int, messages: int, bytes: int} CPU seconds, commands, reads from sockets and bytes so far. */
    public function counters(): array {
        $connection = stream_socket_client("tcp://127.0.0.1:{$this->port}");
        fwrite($connection, "INFO stats\r\n");
        $text = (string)stream_get_contents($connection, (int)substr(fgets($connection), 1));
        preg_match_all('/^(total_commands_processed|total_reads_processed|total_net_(?:input|output)_bytes):(\d+)/m', $text, $found);
        $count = array_combine($found[1], array_map('intval', $found[2]));
        return [
            'server' => cpu_seconds($this->server->pid()),
            'requests' => $count['total_commands_processed'],
            'messages' => $count['total_reads_processed'],
            'bytes' => $count['total_net_input_bytes'] + $count['total_net_output_bytes'],
        ];
    }

    /** Makes an authority and a certificate of the server. */
    private function certify(): void {
        file_put_contents("{$this->directory}/server.ext", "subjectAltName = IP:127.0.0.1\n");
        $make = 'cd ' . escapeshellarg($this->directory) . ' && exec 2>openssl.log &&'
            . ' openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem &&'
            . ' openssl req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr &&'
            . ' openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem';
        exec($make, $output, $code);
        $code === 0 || throw new \RuntimeException(file_get_contents("{$this->directory}/openssl.log"));
    }
}
