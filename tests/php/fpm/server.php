<?php
// A php-fpm of its own in a temporary directory, and a client that speaks FastCGI to it.

/** One php-fpm with a fixed number of workers. */
final class Server {
    private $process;
    private string $directory;

    /**
     * @param array<string> $settings PHP settings, name=value.
     * @param array<string> $wrapper A command to run it under, such as valgrind.
     * @param array<string> $options Of the program itself: by default without the machine's php.ini.
     */
    public function __construct(private int $workers, array $settings, array $wrapper = [], array $options = ['-n']) {
        $this->directory = sys_get_temp_dir() . '/larder-fpm-' . getmypid() . '-' . bin2hex(random_bytes(4));
        mkdir($this->directory, 0700);
        $user = posix_getpwuid(posix_geteuid())['name'];
        $group = posix_getgrgid(posix_getegid())['name'];
        file_put_contents("$this->directory/fpm.conf", "[global]\nerror_log = $this->directory/log\ndaemonize = no\n"
            . "[www]\nuser = $user\ngroup = $group\nlisten = $this->directory/socket\nlisten.backlog = 64\npm = static\n"
            . "pm.max_children = $workers\nclear_env = no\n");
        $program = getenv('PHP_FPM') ?: sprintf('php-fpm%d.%d', PHP_MAJOR_VERSION, PHP_MINOR_VERSION);
        $command = [...$wrapper, $program, '-R', ...$options, '-y', "$this->directory/fpm.conf", '-p', $this->directory];
        foreach ($settings as $setting) {
            array_push($command, '-d', $setting);
        }
        $quiet = [['file', '/dev/null', 'r'], ['file', "$this->directory/out", 'w'], ['redirect', 1]];
        $this->process = proc_open($command, $quiet, $pipes);
        for ($tries = 0; !@stream_socket_client("unix://$this->directory/socket"); $tries++) {
            if ($tries === 600 || !proc_get_status($this->process)['running']) {
                throw new RuntimeException("php-fpm does not start:\n" . $this->log());
            }
            usleep(50000);
        }
    }

    /** A directory that goes with the server. */
    public function directory(): string {
        return $this->directory;
    }

    /** The process that starts the workers. */
    public function pid(): int {
        return proc_get_status($this->process)['pid'];
    }

    public function log(): string {
        return @file_get_contents("$this->directory/out") . @file_get_contents("$this->directory/log");
    }

    /** Ends it once its workers have finished, as a reload does. */
    public function stop(): void {
        if ($this->process) {
            proc_terminate($this->process, SIGQUIT);
            proc_close($this->process);
            $this->process = null;
        }
    }

    public function __destruct() {
        $this->stop();
        exec('rm -rf ' . escapeshellarg($this->directory));
    }

    /**
     * Sends requests at once and waits for all answers.
     *
     * @param array<string> $bodies
     * @return array<string> what the script printed, by the request's key
     */
    public function requests(string $script, array $bodies): array {
        $streams = array_map(fn($body) => $this->send($script, $body), $bodies);
        return array_map($this->answer(...), $streams);
    }

    /**
     * Keeps so many requests under way, and waits for all answers.
     *
     * @param callable(): ?string $next the next request's body; null if there are no more
     * @param callable(string): void $done takes what the script printed
     */
    public function flow(string $script, int $at_once, callable $next, callable $done): void {
        for ($streams = [], $body = ''; ; ) {
            while (count($streams) < $at_once && $body !== null && ($body = $next()) !== null) {
                $streams[] = $this->send($script, $body);
            }
            if (!$streams) {
                return;
            }
            $readable = $streams;
            $none = null;
            stream_select($readable, $none, $none, 300);
            foreach (array_keys($readable) as $key) {
                $done($this->answer($streams[$key]));
                unset($streams[$key]);
            }
        }
    }

    /** @return resource where the answer comes */
    private function send(string $script, string $body) {
        $stream = stream_socket_client("unix://$this->directory/socket");
        stream_set_timeout($stream, 300);
        fwrite($stream, $this->encode($script, $body));
        return $stream;
    }

    private function encode(string $script, string $body): string {
        $parameters = ['SCRIPT_FILENAME' => $script, 'REQUEST_METHOD' => 'POST', 'CONTENT_TYPE' => 'application/json',
            'CONTENT_LENGTH' => (string)strlen($body), 'SCRIPT_NAME' => '/', 'REQUEST_URI' => '/', 'SERVER_PROTOCOL' => 'HTTP/1.1'];
        $text = '';
        foreach ($parameters as $name => $value) {
            $text .= chr(strlen($name)) . pack('N', strlen($value) | 0x80000000) . $name . $value;
        }
        $records = pack('CCnnCCnCx5', 1, 1, 1, 8, 0, 0, 1, 0) . $this->record(4, $text) . $this->record(4, '');
        foreach ($body === '' ? [] : str_split($body, 60000) as $part) {
            $records .= $this->record(5, $part);
        }
        return $records . $this->record(5, '');
    }

    private function record(int $type, string $content): string {
        return pack('CCnnCC', 1, $type, 1, strlen($content), 0, 0) . $content;
    }

    private function answer($stream): string {
        $output = '';
        while (strlen($header = (string)stream_get_contents($stream, 8)) === 8) {
            ['type' => $type, 'length' => $length, 'padding' => $padding] = unpack('Cv/Ctype/nid/nlength/Cpadding', $header);
            $content = $length + $padding > 0 ? (string)stream_get_contents($stream, $length + $padding) : '';
            if ($type === 6) {
                $output .= substr($content, 0, $length);
            }
            if ($type === 3) {
                fclose($stream);
                return explode("\r\n\r\n", $output, 2)[1] ?? '';
            }
        }
        return 'the connection broke';
    }
}
