--TEST--
Codec: forged payloads of PHP's serializer that end anywhere are broken entries, and nothing behind them is read
--EXTENSIONS--
ctype
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--FILE--
<?php
// Under valgrind this proves that the parser stays inside its input.
class Old implements Serializable {
    public $data;
    public function serialize() { return 'x'; }
    public function unserialize($data) { $this->data = $data; }
    public function __serialize(): array { return []; }
    public function __unserialize(array $data): void {}
}
class Custom implements Serializable {
    public $data;
    public function serialize() { return (string)$this->data; }
    public function unserialize($data) { $this->data = $data; }
}
enum Suit: string {
    case Hearts = 'h';
}
set_error_handler(function ($type, $message) {
    echo "warned: $message\n";
});
function extension(string $text): string {
    return "\xc9" . pack('N', strlen($text)) . "\x04" . $text;
}
/** Both ways: a payload in a string of PHP's, and one that is kept and decoded at each get. */
function attempt(string $text): int {
    $read = 0;
    foreach ([fn($payload) => larder_probe_decode($payload), fn($payload) => larder_probe_near_get(larder_probe_near($payload))] as $how) {
        try {
            $how(extension($text));
            $read++;
        } catch (Exception) {
        }
    }
    return $read;
}
$whole = [
    'i:12345;', 'i:-9;', 'b:1;', 'N;', 'd:0.25;', 'd:1.5E-25;', 'd:-INF;', 'd:NAN;', 's:5:"hello";', 's:0:"";',
    'a:2:{i:0;i:1;s:3:"key";a:1:{i:0;R:2;}}', 'O:8:"stdClass":1:{s:1:"a";i:1;}', 'O:7:"Missing":2:{s:1:"a";i:1;s:4:"' . "\0*\0b" . '";N;}',
    'C:6:"Custom":5:{hello}', 'a:2:{i:0;C:6:"Custom":0:{}i:1;r:2;}', 'E:11:"Suit:Hearts";', 'a:1:{i:0;O:3:"Old":0:{}}',
    'O:11:"ArrayObject":4:{i:0;i:0;i:1;a:1:{i:0;i:1;}i:2;a:0:{}i:3;N;}',
];
foreach ($whole as $text) {
    if (attempt($text) !== 2) {
        echo "not read: $text\n";
    }
    for ($cut = 0; $cut < strlen($text); $cut++) {
        if (attempt(substr($text, 0, $cut))) {
            echo 'read: ', substr($text, 0, $cut), "\n";
        }
    }
}
// Ends inside numbers, lengths, names and floats, of every length modulo the allocator's steps.
$starts = ['', 'a:1:{', 'a:1:{i:0;', 'a:2:{i:0;N;', 'O:8:"stdClass":1:{s:1:"a";', 'a:1:{i:0;a:1:{i:0;'];
$ends = ['s:', 's:000', 's:9', 's:2:"', 's:3:"a', 'S:', 'S:2:"\\', 'S:2:"\\6', 'i:', 'i:-', 'i:+', 'i:1', 'b:', 'b:1', 'd:', 'd:-', 'd:.', 'd:1',
    'd:1.', 'd:1e', 'd:1e+', 'd:1.5E-2', 'd:I', 'd:IN', 'd:-IN', 'd:N', 'd:NA', 'a:', 'a:1', 'a:00', 'a:1:', 'a:4294967296:{', 'O:', 'O:1', 'O:8:', 'O:8:"', 'O:8:"std',
    'O:8:"stdClass"', 'O:8:"stdClass":', 'O:8:"stdClass":1', 'O:8:"stdClass":1:', 'C:', 'C:6', 'C:6:"Custom"', 'C:6:"Custom":', 'C:6:"Custom":0',
    'C:6:"Custom":0:', 'C:6:"Custom":9:{', 'C:6:"Custom":1:{x', 'C:8:"stdClass":', 'E:', 'E:11', 'E:11:"Suit:', 'E:11:"Suit:Hearts', 'r:', 'r:1', 'R:', 'R:1', 'N', '}', ';', "\0"];
$read = 0;
foreach ($starts as $start) {
    foreach ($ends as $end) {
        $read += attempt($start . $end);
        if (ctype_digit($end[-1])) {
            for ($length = 1; $length <= (getenv('USE_ZEND_ALLOC') === '0' ? 9 : 33); $length++) {
                $read += attempt($start . $end . str_repeat('9', $length)) + attempt($start . $end . str_repeat('0', $length));
            }
        }
    }
}
var_dump($read);
// Bytes behind the extension, and an extension that is longer than the payload.
foreach ([extension('i:1;') . 'x', extension('i:1') . ';', extension('i:1;') . "\0", substr(extension('i:1;'), 0, -1), "\xc9\xff\xff\xff\xff\x04i:1;", "\xc7\x00\x04", "\xd4\x04"] as $payload) {
    foreach (['larder_probe_decode', fn($payload) => larder_probe_near_get(larder_probe_near($payload))] as $how) {
        try {
            $how($payload);
            echo 'read: ', bin2hex($payload), "\n";
        } catch (Exception) {
        }
    }
}
echo "done\n";
?>
--EXPECTF--
Deprecated: %s
int(0)
done
