<?php
/**
 * Users who load pages, and what they met.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/processes.php';

/** What so many users met. */
final class Load {
    /** Milliseconds after which nobody waits for a page any more; a page that failed counts as much. */
    public const LOST = 10_000;

    /** @var float[] Milliseconds of each page while all users were there, sorted. */
    private array $times = [];

    private int $failed = 0;

    /** @var float[] When each page was answered, in seconds since all users were there. */
    private array $answered = [];

    /** @var array<string, float> What was counted meanwhile. */
    private array $counted = [];

    private float $length = 0;

    /**
     * Lets users come, and measures once all are there.
     *
     * @param string[] $locust The command.
     * @param float $think Seconds that a user thinks, on the average.
     * @param callable(): array<string, float> $count Counters, whose growth is kept.
     * @param callable(float): void $tick Called again and again with the seconds since all users were there, negative before.
     */
    public static function of(array $locust, string $url, int $pages, int $users, int $rampUp, int $seconds, float $think, callable $count, callable $tick): self {
        $load = new self();
        $command = [...$locust, '--headless', '--only-summary', '--loglevel', 'ERROR', '--host', $url, '--users', (string)$users,
            '--spawn-rate', (string)($users / $rampUp), '--stop-timeout', '15s', '--exit-code-on-error', '0'];
        $log = sys_get_temp_dir() . '/larder-locust-' . getmypid();
        $process = new Process($command, true, ['PAGES' => $pages, 'THINK' => $think] + getenv(), $log);
        $began = null;
        $going = true;
        while (($line = $process->line()) !== '') {
            $now = $began === null ? -1 : microtime(true) - $began;
            $tick($now);
            if ($now >= $seconds && $going) {
                $going = false;
                $process->terminate();
            }
            $told = ($line[0] ?? '') === '{' ? json_decode($line, true) : null;
            if (isset($told['users'])) {
                $began ??= microtime(true);
                $load->counted = $count();
            } else if (isset($told['ms'])) {
                $at = $began === null ? -INF : $told['at'] - $began;
                // Who is asked to go at the end finishes the page.
                if ($at >= 0 && $at < $seconds) {
                    $load->add($at, $told['ms'], $told['failed']);
                    $load->length = $at;
                    $counted = null;
                }
                if ($began !== null && $at >= $seconds) {
                    $counted ??= $count();
                }
            }
        }
        $complaints = file_get_contents($log);
        unlink($log);
        $began !== null || throw new \RuntimeException("locust did not start all users: {$complaints}");
        foreach ($counted ?? $count() as $name => $value) {
            $load->counted[$name] = $value - $load->counted[$name];
        }
        sort($load->times);
        return $load;
    }

    private function add(float $at, float $milliseconds, bool $failed): void {
        $this->times[] = $failed ? max($milliseconds, self::LOST) : $milliseconds;
        $this->failed += (int)$failed;
        $this->answered[] = $failed ? -1 : $at;
    }

    /** The milliseconds within which so many hundredths of the pages were answered. */
    public function percentile(int $hundredths): float {
        return $this->times[min(count($this->times) - 1, (int)ceil($hundredths / 100 * count($this->times)) - 1)] ?? self::LOST;
    }

    public function pages(): int {
        return count($this->times);
    }

    public function pagesASecond(): float {
        return (count($this->times) - $this->failed) / max($this->length, 1);
    }

    public function failed(): int {
        return $this->failed;
    }

    /** What was counted, for each page. */
    public function aPage(string $counter): float {
        return $this->counted[$counter] / max(1, count($this->times));
    }

    /** @return int[] Pages that were answered in each second. */
    public function seconds(int $seconds): array {
        $pages = array_fill(0, $seconds, 0);
        foreach ($this->answered as $at) {
            if ($at >= 0) {
                $pages[(int)$at]++;
            }
        }
        return $pages;
    }
}
