// A check in C++: reads the line with which a server greets.
#include <arpa/inet.h>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>

#include "checkd_plugin.h"

namespace {

using Clock = std::chrono::steady_clock;

// A descriptor that closes itself.
class Socket {
  public:
    explicit Socket(int descriptor) : descriptor_(descriptor) {}
    ~Socket()
    {
        if (descriptor_ >= 0)
            close(descriptor_);
    }
    Socket(const Socket &) = delete;
    Socket &operator=(const Socket &) = delete;
    int get() const { return descriptor_; }

  private:
    int descriptor_;
};

// One configured use of the check.
class Banner {
  public:
    Banner(std::uint16_t port, std::string begins) : port_(port), begins_(std::move(begins)) {}

    void run(const checkd_run *run) const
    {
        const auto deadline = Clock::now() + std::chrono::milliseconds(run->timeout_ms);
        Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (socket.get() < 0)
            return answer(run, CHECKD_UNKNOWN, CHECKD_CAUSE_MISCONFIGURED, std::strerror(errno));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port_);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        patience(socket, deadline);
        if (connect(socket.get(), reinterpret_cast<sockaddr *>(&address), sizeof(address)) != 0)
            return answer(run, CHECKD_FAIL,
                          errno == ECONNREFUSED ? CHECKD_CAUSE_REFUSED : CHECKD_CAUSE_TIMEOUT,
                          std::strerror(errno));
        std::string greeting;
        while (greeting.size() < begins_.size()) {
            // One deadline for all of it: a server that drips does not get a new one each time.
            if (!patience(socket, deadline))
                return answer(run, CHECKD_FAIL, CHECKD_CAUSE_TIMEOUT, "no greeting in time");
            char part[256];
            const ssize_t length = recv(socket.get(), part, sizeof(part), 0);
            if (length == 0)
                return answer(run, CHECKD_FAIL, CHECKD_CAUSE_WRONG, "closes without a greeting");
            if (length < 0 && errno == EINTR)
                continue;
            if (length < 0)
                return answer(run, CHECKD_FAIL, CHECKD_CAUSE_TIMEOUT, "no greeting in time");
            greeting.append(part, static_cast<std::size_t>(length));
        }
        if (greeting.compare(0, begins_.size(), begins_) == 0)
            answer(run, CHECKD_PASS, CHECKD_CAUSE_NONE, "greets");
        else
            answer(run, CHECKD_FAIL, CHECKD_CAUSE_WRONG, "does not greet with `" + begins_ + "`");
    }

  private:
    static void answer(const checkd_run *run, checkd_status status, checkd_cause cause,
                       const std::string &message)
    {
        checkd_answer(run, status, cause, message.c_str(), nullptr, 0);
    }

    // Gives what is left of the time to the socket; false when nothing is.
    static bool patience(const Socket &socket, Clock::time_point deadline)
    {
        const auto left =
            std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now()).count();
        if (left <= 0)
            return false;
        timeval time{};
        time.tv_sec = static_cast<time_t>(left / 1000000);
        time.tv_usec = static_cast<suseconds_t>(left % 1000000);
        setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
        setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
        return true;
    }

    std::uint16_t port_;
    std::string begins_;
};

void *configure(void *, const checkd_host *host, const checkd_options *options,
                checkd_problems *problems) noexcept
try {
    std::int64_t port = 0;
    checkd_text begins = checkd_text_of("");
    host->option_integer(options, checkd_text_of("port"), &port);
    host->option_text(options, checkd_text_of("begins"), &begins);
    if (begins.length == 0) {
        host->problem(problems, checkd_text_of("begins"),
                      checkd_text_of("is empty: every server would do"));
        return nullptr;
    }
    return new Banner(static_cast<std::uint16_t>(port), std::string(begins.data, begins.length));
} catch (...) {
    // No exception may leave a function of the table.
    return nullptr;
}

void run(void *instance, const checkd_run *run) noexcept
{
    static_cast<const Banner *>(instance)->run(run);
}

void destroy(void *instance) noexcept
{
    delete static_cast<Banner *>(instance);
}

const checkd_option options[] = {
    { CHECKD_TEXT("port"), CHECKD_TEXT("Port on this machine; \"{port}\" is the member's own."),
      CHECKD_FORM_PORT, 1, CHECKD_TEXT("") },
    { CHECKD_TEXT("begins"), CHECKD_TEXT("What the greeting must begin with."), CHECKD_FORM_TEXT, 1,
      CHECKD_TEXT("") },
};

const checkd_kind kinds[] = {
    { CHECKD_TEXT("cpp_banner"), CHECKD_TEXT("reads how a server greets"),
      CHECKD_TEXT("port = \"{port}\"\nbegins = \"220 \"\n"), options,
      sizeof(options) / sizeof(options[0]), sizeof(options[0]), CHECKD_SCOPE_PROCESS, 0, nullptr,
      configure, run, destroy },
};

const checkd_plugin plugin = {
    sizeof(plugin),        CHECKD_HEADER_MAJOR, CHECKD_HEADER_MINOR, CHECKD_TEXT("cpp-check"),
    CHECKD_TEXT("0.1.0"), kinds,               sizeof(kinds) / sizeof(kinds[0]), sizeof(kinds[0]),
};

} // namespace

const checkd_plugin *checkd_plugin_entry_v1(const checkd_host *)
{
    return &plugin;
}
