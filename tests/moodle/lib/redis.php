<?php
// A Redis server that outage.php treats badly.

/**
 * One server on one port, whose process, memory and snapshot come and go.
 */
final class redis_under_test {
    /**
     * Does not start it.
     *
     * @param string $work directory for its files
     * @param int $port
     */
    public function __construct(private string $work, private int $port) {
        @mkdir("$work/redis");
    }

    /** Starts it with what it saved last and waits until it answers. */
    public function start(): void {
        $this->launch();
        for ($tries = 0; $tries < 200; $tries++) {
            if ($this->ask('ping') === 'PONG') {
                return;
            }
            usleep(50000);
        }
        throw new RuntimeException('redis-server does not start');
    }

    /** Starts it with what it saved last. */
    public function launch(): void {
        exec("redis-server --port $this->port --bind 127.0.0.1 --dir $this->work/redis --save '' --appendonly no --daemonize yes"
            . " --pidfile $this->work/redis.pid --logfile $this->work/redis.log");
    }

    /** Forgets what it saved. */
    public function forget(): void {
        @unlink("$this->work/redis/dump.rdb");
    }

    /** Starts it with nothing. */
    public function start_empty(): void {
        $this->forget();
        $this->start();
    }

    /** Starts it with the snapshot that save() made before the one that kill() made. */
    public function start_old(): void {
        rename("$this->work/redis/old.rdb", "$this->work/redis/dump.rdb");
        $this->start();
    }

    /** Makes a snapshot, as a backup would. */
    public function save(): void {
        $this->ask('save');
        copy("$this->work/redis/dump.rdb", "$this->work/redis/old.rdb");
    }

    /** Kills it. */
    public function crash(): void {
        posix_kill($this->pid(), SIGKILL);
    }

    /** Kills it after it saved what it holds. */
    public function kill(): void {
        $this->ask('save');
        $this->crash();
        for ($tries = 0; $tries < 500 && @fsockopen('127.0.0.1', $this->port); $tries++) {
            usleep(10000);
        }
    }

    /** Stops it from answering; connections stay. */
    public function stall(): void {
        posix_kill($this->pid(), SIGSTOP);
    }

    /** Ends the stall. */
    public function resume(): void {
        posix_kill($this->pid(), SIGCONT);
    }

    /** Its process. */
    private function pid(): int {
        return (int)file_get_contents("$this->work/redis.pid");
    }

    /** What it answers to a command. */
    private function ask(string $command): string {
        return trim((string)exec("redis-cli -h 127.0.0.1 -p $this->port $command 2>/dev/null"));
    }
}
