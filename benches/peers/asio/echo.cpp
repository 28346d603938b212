// asio, without Boost: an io_context per thread, a session per connection, dealt in turn.
#include <array>
#include <asio.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>

using asio::ip::tcp;

class Session : public std::enable_shared_from_this<Session> {
public:
    explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

    void read() {
        auto self = shared_from_this();
        socket_.async_read_some(asio::buffer(buffer_), [this, self](asio::error_code error, size_t count) {
            if (!error) write(count);
        });
    }

private:
    // It completes when all is written.
    void write(size_t count) {
        auto self = shared_from_this();
        asio::async_write(socket_, asio::buffer(buffer_, count), [this, self](asio::error_code error, size_t) {
            if (!error) read();
        });
    }

    tcp::socket socket_;
    std::array<char, 16 * 1024> buffer_;
};

class Server {
public:
    Server(const tcp::endpoint &address, int threads) {
        for (int i = 0; i < threads; i++) contexts_.push_back(std::make_unique<asio::io_context>(1));
        // It sets SO_REUSEADDR on its own.
        acceptor_ = std::make_unique<tcp::acceptor>(*contexts_[0], address);
        accept();
    }

    void run() {
        std::vector<std::thread> threads;
        for (auto &context : contexts_)
            threads.emplace_back([&context] {
                auto guard = asio::make_work_guard(*context);
                context->run();
            });
        for (auto &thread : threads) thread.join();
    }

private:
    void accept() {
        auto &context = *contexts_[turn_++ % contexts_.size()];
        acceptor_->async_accept(context, [this, &context](asio::error_code error, tcp::socket socket) {
            if (!error) {
                socket.set_option(tcp::no_delay(true));
                auto session = std::make_shared<Session>(std::move(socket));
                // In its own thread from here on.
                asio::dispatch(context, [session] { session->read(); });
            }
            accept();
        });
    }

    std::vector<std::unique_ptr<asio::io_context>> contexts_;
    std::unique_ptr<tcp::acceptor> acceptor_;
    size_t turn_ = 0;
};

int main(int argc, char **argv) {
    if (argc < 3) {
        std::cerr << "usage: IP PORT [THREADS]\n";
        return 2;
    }
    auto port = static_cast<unsigned short>(std::atoi(argv[2]));
    Server server({asio::ip::make_address(argv[1]), port}, argc > 3 ? std::atoi(argv[3]) : 1);
    server.run();
}
