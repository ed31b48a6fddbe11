<?php
/**
 * Two web nodes on one machine, behind a balancer.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/processes.php';
require_once dirname(__DIR__, 3) . '/tests/php/fpm/server.php';

/** Two php-fpm, each with a directory of its own as its local disk, behind an nginx that gives them requests in turns. */
final class TwoNodes {
    /** Workers of each node. */
    public const WORKERS = 8;

    /** @var \Server[] */
    private array $nodes = [];

    private Process $nginx;

    /** Where they are asked. */
    public readonly string $url;

    /**
     * @param string $script That answers all requests.
     * @param string[] $settings PHP settings, name=value.
     * @param callable(string): array $configuration Of a node, from the path of its disk; the file that the environment's NODE names has it as JSON.
     */
    public function __construct(string $directory, string $script, array $settings, callable $configuration) {
        // This process asks for it once and remembers it: before it is that of a node.
        sys_get_temp_dir();
        foreach ([0, 1] as $number) {
            $disk = "{$directory}/node{$number}";
            is_dir($disk) || mkdir($disk, 0700, true);
            file_put_contents("{$disk}/node.json", json_encode($configuration($disk), JSON_THROW_ON_ERROR));
            putenv("NODE={$disk}/node.json");
            // Processes of one node know of each other by files in the temporary directory.
            putenv("TMPDIR={$disk}");
            $this->nodes[] = new \Server(self::WORKERS, $settings);
        }
        putenv('NODE');
        putenv('TMPDIR');
        $port = free_port();
        $this->url = "http://127.0.0.1:{$port}";
        file_put_contents("{$directory}/nginx.conf", $this->nginx($directory, $port, $script));
        $this->nginx = new Process(['nginx', '-c', "{$directory}/nginx.conf", '-e', "{$directory}/nginx.log"]);
        wait_for_port($port);
    }

    /** What a node answers to a query. */
    public function ask(int $node, string $query): string {
        $context = stream_context_create(['http' => ['timeout' => 120, 'ignore_errors' => true]]);
        return (string)file_get_contents("{$this->url}/node{$node}?{$query}", false, $context);
    }

    /** Asks both nodes, as many queries at the same time as they have workers. */
    public function together(array $queries): void {
        foreach (array_chunk($queries, 2 * self::WORKERS) as $some) {
            $streams = array_map(function (string $query) {
                $stream = stream_socket_client('tcp' . substr($this->url, strlen('http')));
                stream_set_timeout($stream, 120);
                fwrite($stream, "GET /?{$query} HTTP/1.0\r\n\r\n");
                return $stream;
            }, $some);
            foreach ($streams as $stream) {
                $answer = (string)stream_get_contents($stream);
                str_contains($answer, '200 OK') || throw new \RuntimeException("a page failed: {$answer}");
            }
        }
    }

    /** CPU seconds of both nodes so far. */
    public function seconds(): float {
        return array_sum(array_map(fn($node) => cpu_seconds($node->pid()), $this->nodes));
    }

    private function nginx(string $directory, int $port, string $script): string {
        $sockets = array_map(fn($node) => "unix:{$node->directory()}/socket", $this->nodes);
        $user = posix_geteuid() === 0 ? 'user root;' : '';
        $upstream = implode(' ', array_map(fn($socket) => "server {$socket} max_fails=0;", $sockets));
        $locations = implode("\n", array_map(fn($i) => "location = /node{$i} { fastcgi_pass {$sockets[$i]}; }", array_keys($sockets)));
        return <<<END
            {$user}
            daemon off;
            worker_processes 1;
            pid {$directory}/nginx.pid;
            events { worker_connections 1024; }
            http {
                access_log off;
                client_body_temp_path {$directory}/body;
                fastcgi_temp_path {$directory}/fastcgi;
                proxy_temp_path {$directory}/proxy;
                uwsgi_temp_path {$directory}/uwsgi;
                scgi_temp_path {$directory}/scgi;
                upstream nodes { {$upstream} }
                server {
                    listen 127.0.0.1:{$port} backlog=1024;
                    fastcgi_param SCRIPT_FILENAME {$script};
                    fastcgi_param QUERY_STRING \$query_string;
                    fastcgi_param REQUEST_METHOD \$request_method;
                    fastcgi_param REQUEST_URI \$request_uri;
                    fastcgi_read_timeout 120;
                    location / { fastcgi_pass nodes; }
                    {$locations}
                }
            }
            END;
    }
}
