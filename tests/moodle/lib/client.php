<?php
// Shared by load_pages.php, sessions.php, outage.php and under_load.php: asks the site under test, whose address is in $base and whose token in $token.

/**
 * Fetches URLs, all at the same time; each with the cookies of its user.
 *
 * @param array $requests of [path, user]
 * @param string[] $headers
 * @return array of [status, body, milliseconds]
 */
function fetch_all(array $requests, array $headers = []): array {
    $multi = curl_multi_init();
    $handles = [];
    foreach ($requests as $key => [$path, $user]) {
        $handles[$key] = request_of($path, $user, $headers);
        curl_multi_add_handle($multi, $handles[$key]);
    }
    do {
        curl_multi_exec($multi, $running);
        curl_multi_select($multi, 0.1);
    } while ($running);
    return array_map(fn($handle) => [curl_getinfo($handle, CURLINFO_RESPONSE_CODE), curl_multi_getcontent($handle),
        curl_getinfo($handle, CURLINFO_TOTAL_TIME) * 1000], $handles);
}

/**
 * A request with the cookies of its user.
 *
 * @param string $path
 * @param string $user
 * @param string[] $headers
 * @return CurlHandle
 */
function request_of(string $path, string $user, array $headers = []): CurlHandle {
    global $base;
    static $cookies = [];
    $cookies[$user] ??= '';
    $handle = curl_init($base . $path);
    curl_setopt_array($handle, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 300,
        CURLOPT_COOKIE => $cookies[$user], CURLOPT_PROXY => '', CURLOPT_HTTPHEADER => $headers,
        CURLOPT_HEADERFUNCTION => function ($handle, string $line) use (&$cookies, $user): int {
            if (preg_match('/^Set-Cookie: (MoodleSession\w*=[^;]+)/i', $line, $match)) {
                $cookies[$user] = $match[1];
            }
            return strlen($line);
        }]);
    return $handle;
}

/**
 * Asks the page that belongs to this test.
 *
 * @param string $query
 * @param string $user
 * @return string the path to ask for and its user, for fetch_all()
 */
function ask(string $query, string $user = ''): array {
    global $token;
    return ["/larder_test.php?token=$token&do=$query", $user];
}

/**
 * The answer of the page that belongs to this test.
 *
 * @param array $response
 * @return array
 */
function answer(array $response): array {
    [$status, $body] = $response;
    $answer = json_decode($body, true);
    if ($status !== 200 || !is_array($answer)) {
        fwrite(STDERR, "HTTP $status: " . substr(strip_tags($body), 0, 2000) . "\n");
        exit(1);
    }
    return $answer;
}

/**
 * Why a page is not what it should be, or an empty string.
 *
 * @param array $response
 * @return string
 */
function problem(array $response): string {
    [$status, $body] = $response;
    if ($status !== 200) {
        $text = strip_tags(preg_replace('#<(style|script|head)\b.*?</\1>#s', '', $body));
        return "HTTP $status: " . substr(trim(preg_replace('/\s+/', ' ', $text)), 0, 400);
    }
    if (!str_contains($body, '</html>')) {
        return 'broken off';
    }
    $signs = '#class="[^"]*\b(errorbox|debuggingmessage|notifyproblem)\b|<b>(Warning|Notice|Deprecated|Fatal error)</b>:|Exception - #';
    return preg_match($signs, $body, $match) ? "shows $match[0]" : '';
}

/**
 * The value in the middle.
 *
 * @param float[] $list
 * @return float
 */
function median(array $list): float {
    sort($list);
    return $list[intdiv(count($list), 2)];
}
