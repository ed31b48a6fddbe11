<?php
/**
 * The way of Moodle's file store, to compare with: a file for each entry.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** An entry is a serialized value in a file; readers take a shared lock, writers rename a finished file into place. */
final class FileStore implements Store {
    public function __construct(private string $directory) {
    }

    public function begin(): void {
    }

    public function get(string $definition, string $key): mixed {
        $file = $this->path($definition, $key);
        if (!file_exists($file) || !($handle = @fopen($file, 'rb'))) {
            return false;
        }
        flock($handle, LOCK_SH);
        $data = '';
        while (!feof($handle)) {
            $data .= fread($handle, 65536);
        }
        flock($handle, LOCK_UN);
        fclose($handle);
        return unserialize($data);
    }

    public function getMany(string $definition, array $keys): array {
        $found = [];
        foreach ($keys as $key) {
            $found[$key] = $this->get($definition, $key);
        }
        return $found;
    }

    public function set(string $definition, string $key, mixed $value): void {
        $file = $this->path($definition, $key);
        $parent = dirname($file);
        if (!is_dir($parent)) {
            @mkdir($parent, 0700, true);
        }
        $new = $parent . '/' . bin2hex(random_bytes(8)) . '.tmp';
        $handle = fopen($new, 'xb');
        flock($handle, LOCK_EX | LOCK_NB);
        fwrite($handle, serialize($value));
        fflush($handle);
        flock($handle, LOCK_UN);
        fclose($handle);
        rename($new, $file);
    }

    public function delete(string $definition, string $key): void {
        @unlink($this->path($definition, $key));
    }

    public function roundTrips(): int {
        return 0;
    }

    private function path(string $definition, string $key): string {
        $name = sha1($key);
        return $this->directory . '/' . strtr($definition, '/', '_') . '/' . substr($name, 0, 3) . "/{$name}.cache";
    }
}
